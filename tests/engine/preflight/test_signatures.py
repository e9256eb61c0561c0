"""Signatures against Python's own binding of arguments; values and words against what is written here."""

import inspect
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Sized
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import torch
from annotated_types import Ge, Gt, Lt
from pytorch_lightning import LightningDataModule, Trainer
from typing_extensions import TypedDict

from engine.preflight.signatures import choices_of, described, fits, signature_of
from engine.wording import nearest
from lightning_modules.cross_validator import CrossValidator
from networks.resnet18 import ResNet18


class Grandparent:
    def __init__(self, *, a: int, b: float = 1.0) -> None: ...


class Parent(Grandparent):
    def __init__(self, *, c: str, **rest: Any) -> None:
        super().__init__(**rest)


class Child(Parent):
    def __init__(self, d: bool, *, a: Literal["x"], **more: Any) -> None:
        super().__init__(a=a, c=more["c"], **more)


class Loader(LightningDataModule):
    def __init__(self, *, size: int, limit: int = None, **loader: Any) -> None:  # type: ignore[assignment] # noqa: RUF013
        super().__init__()
        self.loader = loader


class Popping(Parent):
    def __init__(self, **rest: Any) -> None:
        self.own = rest.pop("own")
        super().__init__(**rest)


class Silent(Parent): ...


class Colour(Enum):
    RED = "red"


def test_a_class_takes_what_it_passes_on() -> None:
    signature = signature_of(Child)
    assert signature.hints == {"d": bool, "a": Literal["x"], "c": str, "b": float}
    assert signature.required == ["d", "a"]
    assert not signature.takes_others
    assert signature_of(Silent) == signature_of(Parent)


def test_keywords_that_go_elsewhere_may_be_any() -> None:
    assert signature_of(Loader) == ({"size": int, "limit": int | None}, ["size"], True)
    assert signature_of(Popping) == ({}, [], True)


def test_a_function_and_a_class_without_a_constructor() -> None:
    def function(x, *args: int, y: int = 0, **others: Any) -> None: ...  # type: ignore[no-untyped-def]

    assert signature_of(function) == ({"x": Any, "y": int}, ["x"], True)
    assert signature_of(type("Empty", (), {})) == ({}, [], False)


@pytest.mark.parametrize("target", [torch.optim.SGD, Trainer, torch.nn.Linear, torch.nn.CrossEntropyLoss])
def test_of_a_class_that_passes_nothing_on_it_is_pythons(target: type) -> None:
    parameters = inspect.signature(target).parameters
    signature = signature_of(target)
    assert list(signature.hints) == list(parameters)
    assert signature.required == [name for name, value in parameters.items() if value.default is value.empty]


def test_names_that_go_down_three_classes() -> None:
    """Python itself names the first that nobody takes."""
    names = signature_of(CrossValidator).hints
    assert {"num_folds", "num_classes", "seed"} <= names.keys()
    network = ResNet18(num_classes=2, pretrained=False)
    given = {"num_folds": 2, "num_repeats": 1, "num_classes": 2, "network": network}
    settings = dict.fromkeys(names) | given
    CrossValidator(**settings)
    with pytest.raises(TypeError, match="unexpected keyword argument 'no_such'"):
        CrossValidator(**settings, no_such=1)


class Typed(TypedDict):
    a: int


FITTING: list[tuple[Any, list[Any], list[Any]]] = [
    (int, [0, -3], [1.0, "1", True, None, [1]]),
    (float, [0, 1.5], ["1", True, None]),
    (bool, [True, False], [1, "yes", None]),
    (str, ["", "x"], [1, None, ["x"]]),
    (int | None, [None, 1], ["none", 1.5]),
    (Literal["a", 1], ["a", 1], ["b", True, None]),
    (Annotated[int, Ge(1)], [1, 2], [0, 1.5, "1"]),
    (Annotated[float, Gt(0), Lt(1)], [0.5], [0, 1, 2, "0.5"]),
    (Sequence[int], [[], [1, 2]], [[1, "2"], "12", 1, {"a": 1}]),
    (Sequence[Annotated[int, Ge(1)]], [[1]], [[0]]),
    (tuple[int, str], [[1, "a"]], [[1], ["a", 1]]),
    (tuple[int, ...], [[], [1, 2, 3]], [["a"]]),
    (list, [[object()]], ["x"]),
    (Iterable[int], [[1]], [1]),
    (Mapping[str, Any], [{"a": 1}], [[1], "a", None]),
    (Typed, [{"a": 1}], [1, {"a": "x"}, {}]),
    (Path | None, ["a/b", None], [1]),
    (Callable[[int], int], [{"_target_": "x.y"}], ["x.y", 1]),
    (torch.nn.Module, [{"_target_": "x.y"}], ["x.y", None, {"a": 1}]),
    (torch.Tensor | float, [0.1], ["0.1", [0.1]]),
    (Colour, ["red"], ["blue", 1, {"a": 1}]),
    (Literal[True, "warn"] | None, [True, None, "warn"], [False, "no"]),
    (Literal[1, 2], [1], [True, 3]),
    (dict[int, int], [{0: 4}], [{"a": 4}, {0: "b"}]),
    (timedelta | None, [None, {"_target_": "datetime.timedelta"}], ["x", "00:30:00", "PT30M", 3]),
    (dict[str, int] | timedelta | None, [{"seconds": 4}, None], [{"seconds": "x"}, [1]]),
    (Collection[int], [[1]], [1, None]),
    (Sized, [[1], {"a": 1}], [1]),
    (list[torch.nn.Module], [[{"_target_": "x.y"}], []], [["x"], None]),
    (tuple[float, float], [[0.9, 1]], [[0.9], 0.9]),
    (torch.device | str, ["cpu"], [1]),
    ("no.such.name", [1, None, []], []),
    (Any, [None, 1, "x", [1]], []),
    (object, [None, 1], []),
]


@pytest.mark.parametrize(("hint", "good", "bad"), FITTING, ids=[str(row[0]) for row in FITTING])
def test_fits(hint: Any, good: list[Any], bad: list[Any]) -> None:
    assert [value for value in good if not fits(value, hint)] == []
    assert [value for value in bad if fits(value, hint)] == []


@pytest.mark.parametrize(
    ("hint", "words"),
    [
        (int, "a whole number"),
        (float | None, "a number or null"),
        (Annotated[float, Gt(0), Lt(1)], "a number above 0 and below 1"),
        (Annotated[int, Ge(1)] | None, "a whole number at least 1 or null"),
        (Literal["max", "min"], "one of max | min"),
        (Literal["warn"] | bool | None, "warn, true or false or null"),
        (Sequence[float], "a list of numbers"),
        (Mapping[str, Any] | bool, "a mapping or true or false"),
        (torch.Tensor | float, "a number"),
        (torch.nn.Module, "a _target_ that makes a Module"),
        (torch.nn.Module | None, "a _target_ that makes a Module or null"),
    ],
)
def test_described(hint: Any, words: str) -> None:
    assert described(hint) == words


def test_choices_are_the_texts_that_an_annotation_lists() -> None:
    assert choices_of(Literal["a", "b"] | Literal["c"] | int) == ["a", "b", "c"]


def test_nearest() -> None:
    assert nearest("optimizr", ["optimizer", "scheduler"]) == "did you mean optimizer?"
    assert nearest("q", ["b", "a", "a"]) == "there are a, b"
    assert nearest("q", map(str, range(20))).endswith(", …")
    assert nearest("q", []) == "it has none"
