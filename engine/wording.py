"""Formats values and suggests names in messages."""

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

from engine.errors import printable


def shown(value: Any) -> str:
    """The value as on the command line, shortened to one line."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        text = f"[{','.join(shown(element) for element in value)}]"
    elif value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    else:
        text = str(value)
    text = text if text.isprintable() else ascii(text)  # it may come from an untrusted file
    return text if len(text) <= 60 else f"{text[:59]}…"


def markup(text: object) -> str:
    """Escapes a text for rich, so that it is shown literally."""
    from rich.markup import escape  # slow to import, and not always needed

    return escape(printable(text))


NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE)


CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""What acts upon a terminal that shows a file, but for tabs and ends of lines."""


def cell(value: Any) -> Any:
    """A value for a CSV file; text that a spreadsheet would run as a formula is quoted, control characters escaped."""
    text = str(value)
    is_formula = re.match(r"\s*[=+\-@]|[\t\r\n]", text) and not NUMBER.fullmatch(text)
    if not (is_formula or CONTROL.search(text)):
        return value
    shown = CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)
    return f"'{shown}" if is_formula else shown


EXTRAS = {
    "OptunaSweeper": ("optuna", "optuna"),
    "RayLauncher": ("ray", "ray"),
    "SubmititLauncher": ("submitit", "submitit"),
    "WandbLogger": ("wandb", "wandb"),
    "MLFlowLogger": ("mlflow", "mlflow"),
}
"""Classes that need an optional package: the package, and the extra that installs it."""


def missing_extra(target: object) -> str | None:
    """`needs optuna: pip install -e '.[optuna]'` if the class with this dotted name needs a package that is missing."""
    package, extra = EXTRAS.get(str(target).rpartition(".")[2], ("sys", ""))
    return None if _is_installed(package) else f"needs {package}: pip install -e '.[{extra}]'"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # its entry in sys.modules is None or has no spec
        return False


INTERVAL = ("std", "low", "high")
"""Suffixes of metrics that describe a spread: `acc_std`, `acc_low`, `acc_high`."""


def class_metric(kind: str, label: str) -> str:
    """The name of a per-class metric: `acc_bees`, or `acc_class_low` if the class is named like one of INTERVAL."""
    return f"{kind}_class_{label}" if label in INTERVAL else f"{kind}_{label}"


def class_metrics(names: Iterable[str], classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """The per-class metrics among `names`, with their kind and class: `acc_bees` with ("acc", "bees").

    A kind counts only if every class has a value, so `top_3` is not a metric of a class 3.
    """
    known = set(names)
    first = class_metric("", classes[0]) if classes else None
    kinds = [name.removesuffix(first) for name in known if first and name.endswith(first)]
    named = {kind: {class_metric(kind, label): (kind, label) for label in classes} for kind in kinds}
    return {name: found for metrics in named.values() if metrics.keys() <= known for name, found in metrics.items()}


def figure(value: float | str | None) -> str:
    """Four significant digits, or an integer if large; text (NaN and infinities, as in metrics.json) is unchanged."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def rounded(value: float, spread: float | None, sign: str = "") -> str:
    """As many decimals as give two significant digits of the spread; without one, four significant digits.

    With the sign "+", also that of a positive number.
    """
    if not spread or not math.isfinite(spread):
        return format(value, f"{sign}.4g")
    return format(value, f"{sign}.{max(0, 1 - math.floor(math.log10(spread)))}f")


def fitting(parts: Sequence[str], width: int, between: str = ", ") -> str:
    """The first of the parts, joined, that fit into so many columns; the very first one in any case."""
    text = "".join(parts[:1])
    for part in parts[1:]:
        if len(text) + len(between) + len(part) > width:
            break
        text += between + part
    return text


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean X?` if a name is similar, else a list of the names; for the end of a sentence."""
    known = sorted(set(names))
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"there are {shown}" if len(known) > 1 else f"there is only {shown}" if known else "it has none"


def warnings_about(source: str, network: str | None, wanted: str | None) -> list[str]:
    """The notices for data from `source`, and for a `network` in the place of the one that was `wanted`."""
    lines = []
    if source == "stand-in":
        lines.append(
            "STAND-IN DATA: drawn by this project as the real data is unavailable; these figures say nothing about it."
        )
    if wanted:
        lines.append(f"SUBSTITUTE WEIGHTS: {network} replaces {wanted}, whose weights are unavailable.")
    return lines
