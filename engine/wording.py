"""How messages show values and suggest names."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any


def shown(value: Any) -> str:
    """As on a command line, but not at length, and on one line."""
    if isinstance(value, Mapping):
        return "{…}" if value else "{}"
    if isinstance(value, list):
        text = f"[{','.join(shown(element) for element in value)}]"
    elif value is None or isinstance(value, bool):
        text = "null" if value is None else str(value).lower()
    else:
        text = str(value)
    text = text if text.isprintable() else ascii(text)  # what is shown may be a stranger's
    return text if len(text) <= 60 else f"{text[:59]}…"


EXTRAS = {
    "OptunaSweeper": ("optuna", "optuna"),
    "RayLauncher": ("ray", "ray"),
    "SubmititLauncher": ("submitit", "submitit"),
    "WandbLogger": ("wandb", "wandb"),
    "MLFlowLogger": ("mlflow", "mlflow"),
}
"""Classes that need a package of an extra, and the extra."""


def missing_extra(target: object) -> str | None:
    """`needs optuna: pip install -e '.[optuna]'` for the dotted name of a class whose package is not installed."""
    package, extra = EXTRAS.get(str(target).rpartition(".")[2], ("sys", ""))
    return None if _is_installed(package) else f"needs {package}: pip install -e '.[{extra}]'"


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ValueError:  # its place in sys.modules is taken by nothing
        return False


INTERVAL = ("std", "low", "high")
"""Ends of the names of metrics that describe a spread: `acc_std`, `acc_low`, `acc_high`."""


def class_metric(kind: str, label: str) -> str:
    """`acc_bees`, one class's own `acc`; `acc_class_low` if the class is named as an end of an interval is."""
    return f"{kind}_class_{label}" if label in INTERVAL else f"{kind}_{label}"


def class_metrics(names: Iterable[str], classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Of metrics' names those of a single class, each with its kind and class: `acc_bees` with ("acc", "bees").

    `top_3` is none of a class 3: a kind has a value for every class.
    """
    known = set(names)
    first = class_metric("", classes[0]) if classes else None
    kinds = [name.removesuffix(first) for name in known if first and name.endswith(first)]
    named = {kind: {class_metric(kind, label): (kind, label) for label in classes} for kind in kinds}
    return {name: found for metrics in named.values() if metrics.keys() <= known for name, found in metrics.items()}


def figure(value: float | str | None) -> str:
    """Four digits, of large numbers all; NaN and infinities are text already, as in metrics.json; None is empty."""
    if value is None or isinstance(value, str):
        return value or ""
    return f"{value:.4g}" if abs(value) < 1000 else f"{value:,.0f}"


def nearest(name: str, names: Iterable[str]) -> str:
    """`did you mean X?` where one of the names is like it, else what there is; for the end of a sentence."""
    known = sorted(set(names))
    if near := difflib.get_close_matches(name, known, n=1, cutoff=0.6):
        return f"did you mean {near[0]}?"
    shown = ", ".join(known[:12]) + (", …" if len(known) > 12 else "")
    return f"there are {shown}" if known else "there are none"
