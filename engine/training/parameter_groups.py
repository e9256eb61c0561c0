"""Optimizer parameter groups from patterns of parameter names, and the number of parameters."""

import re
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy

SECONDS = 1
"""Time limit per pattern for all names; milliseconds are usual, unless it backtracks."""


def parameter_groups(
    parameters: nn.Module | Mapping[str, nn.Parameter], groups: Sequence[Mapping[str, Any]] | None
) -> list[dict[str, Any]]:
    """An optimizer's parameter groups: one for all trainable parameters, or one for each `{pattern, **settings}`.

    `parameters` is a module, or a mapping from names to parameters; those without gradients are left out.

    A pattern is a regular expression that is searched in parameter names (`^head`, `norm.*bias$`). Parameters that no
    pattern matches form a last group with the optimizer's default settings.

    Raises ValueError for a pattern that is invalid, takes too long or matches nothing, and for a parameter that two
    patterns match.
    """
    given = dict(parameters.named_parameters()) if isinstance(parameters, nn.Module) else parameters
    named = {name: parameter for name, parameter in given.items() if parameter.requires_grad}
    taken: dict[str, str] = {}
    result: list[dict[str, Any]] = []
    for group in groups or ():
        settings = dict(group)
        pattern = settings.pop("pattern")
        names = _matched(pattern, named)
        if not names:
            raise ValueError(
                f"param_groups: pattern {pattern!r} matches no trainable parameter; there are {_some(named)}."
            )
        for name in names:
            if name in taken:
                raise ValueError(f"param_groups: patterns {taken[name]!r} and {pattern!r} both match {name!r}.")
            taken[name] = pattern
        result.append({"params": [named[name] for name in names], **settings})
    rest = [parameter for name, parameter in named.items() if name not in taken]
    return [*result, {"params": rest}] if rest else result


def _matched(pattern: str, names: Iterable[str]) -> list[str]:
    try:
        with _time_limit():
            return [name for name in names if re.search(pattern, name)]
    except TimeoutError as error:
        raise ValueError(
            f"param_groups: pattern {pattern!r} takes longer than {SECONDS} s: avoid nested repetitions."
        ) from error
    except (re.error, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"param_groups: pattern {pattern!r} is not a regular expression: {error}.") from error


@contextmanager
def _time_limit() -> Iterator[None]:
    """TimeoutError after SECONDS of CPU time, since `(a*)*b` may take forever. No limit outside the main thread.

    Python handles signals while matching. CPU time is measured, so a busy machine makes no difference.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, stop)
    timer = signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, *timer)
        signal.signal(signal.SIGVTALRM, before)


def _some(names: Mapping[str, Any]) -> str:
    shown = list(names)[:5]
    return ", ".join(shown) + (f" and {len(names) - len(shown)} more" if len(names) > len(shown) else "")


def counted(module: nn.Module) -> str:
    """The number of a module's parameters, in words."""
    parameters = list(module.parameters())
    if not parameters or any(map(is_lazy, parameters)):
        return "its parameters are made when it trains"
    total, trained = (sum(p.numel() for p in ps) for ps in (parameters, [p for p in parameters if p.requires_grad]))
    return f"{trained:,} parameters trained" + (f", {total - trained:,} frozen" if total > trained else "")
