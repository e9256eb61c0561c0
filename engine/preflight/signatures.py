"""What a `_target_` takes, from its own signature and annotations: names, types, choices and ranges."""

import inspect
import json
import re
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from enum import Enum
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import ConfigDict, PydanticUserError, TypeAdapter, ValidationError
from typing_extensions import is_typeddict

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
"""What annotated_types calls its limits, in words."""


class Signature(NamedTuple):
    """The keywords that a callable takes, with their annotations; those it must have; whether it takes any other."""

    hints: dict[str, Any]
    required: list[str]
    takes_others: bool


def signature_of(target: Callable[..., Any]) -> Signature:
    """The names of a constructor, and those of its base's if it hands its **kwargs on to that; else it takes any other.

    Required are those of the first constructor alone: it may give the others their values itself.
    """
    hints: dict[str, Any] = {}
    required: list[str] = []
    for level, function in enumerate(_constructors(target)):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C, without a signature
            return Signature(hints, required, True)
        annotations = type_hints(function)
        others = ""
        for parameter in parameters[1:] if inspect.isclass(target) else parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                others = parameter.name
            elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hints.setdefault(parameter.name, annotations.get(parameter.name, Any))
                if level == 0 and parameter.default is parameter.empty:
                    required.append(parameter.name)
        if not others or not _hands_on(function, others):
            return Signature(hints, required, bool(others))
    return Signature(hints, required, True)


def _hands_on(function: Any, name: str) -> bool:
    """Whether a constructor's source calls `super().__init__(…, **name)`."""
    try:
        source = inspect.getsource(function)
    except (OSError, TypeError):
        return False
    return re.search(rf"super\(.*?\)\.__init__\([^#]*?\*\*{name}\b", source, re.DOTALL) is not None


def _constructors(target: Any) -> Iterator[Callable[..., Any]]:
    if not inspect.isclass(target):
        yield target
        return
    own = [vars(base)["__init__"] for base in target.__mro__[:-1] if "__init__" in vars(base)]
    yield from own or [_nothing if target.__new__ is object.__new__ else target.__new__]


def _nothing(self: Any) -> None:
    """What a class without a constructor takes."""


def type_hints(function: Any) -> dict[str, Any]:
    """Its annotations; none of them where one names what its module imports for type checkers alone."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


# Values --------------------------------------------------------------------------------------------------------------


STRICT = ConfigDict(strict=True, arbitrary_types_allowed=True)


def fits(value: Any, hint: Any) -> bool:
    """Whether a config's value (None, bool, number, text, list, mapping) is of the annotated type and in its range.

    Values are read as JSON is: a list may be a tuple, text a path, but a number is no text. What has a `_target_` fits
    anything, and so does any value where the annotation says nothing about such values.
    """
    if _has_target(value) or hint is Any:
        return True
    if is_typeddict(hint):  # pydantic takes typing's only from Python 3.12 on
        return isinstance(value, Mapping)
    try:
        TypeAdapter(hint, config=STRICT).validate_json(json.dumps(value))
    except ValidationError:
        return False
    except (PydanticUserError, TypeError, NameError):  # an annotation that means nothing to it, a value that is unknown
        return True
    return True


def _has_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_has_target, value.values()))
    return isinstance(value, list) and any(map(_has_target, value))


def _is_list(kind: type) -> bool:
    """Whether a list in YAML can be one; a tensor, which is iterable too, is none."""
    return issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc")


# Words ---------------------------------------------------------------------------------------------------------------

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
TARGET = "a _target_ that makes a "


def described(hint: Any) -> str:
    """An annotation in a user's words: `a whole number at least 1, or null`."""
    parts = list(dict.fromkeys(_alternatives(hint)))
    # What only a _target_ makes is of interest where nothing else will do.
    parts = [part for part in parts if not part.startswith(TARGET)] or parts
    choices = [part for part in parts if part.startswith("'")]
    others = [part for part in parts if not part.startswith("'")]
    if choices:
        others.insert(0, ("one of " if len(choices) > 1 else "") + " | ".join(choice[1:] for choice in choices))
    return " or ".join(others) if len(others) < 3 else f"{', '.join(others[:-1])} or {others[-1]}"


def choices_of(hint: Any) -> list[str]:
    """The texts that an annotation lists."""
    return [part[1:] for part in _alternatives(hint) if part.startswith("'")]


def _alternatives(hint: Any) -> Iterator[str]:
    """What the annotation allows, one by one; a text that it lists has a quote before it."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        limits = [
            f"{word} {bound:g}"
            for limit in arguments[1:]
            for name, word in BOUNDS.items()
            if (bound := getattr(limit, name, None)) is not None
        ]
        yield f"{described(arguments[0])} {' and '.join(limits)}".rstrip()
    elif origin in (Union, types.UnionType):
        for argument in arguments:
            yield from _alternatives(argument)
    elif origin is Literal:
        yield from (f"'{choice}" for choice in arguments)
    elif hint in WORDS:
        yield WORDS[hint]
    else:
        kind = origin or hint
        if not inspect.isclass(kind):
            yield str(hint)
        elif issubclass(kind, Mapping):
            yield "a mapping"
        elif _is_list(kind):
            of = [described(argument) for argument in arguments if argument is not Ellipsis][:1]
            yield f"a list of {_plural(of[0])}" if of else "a list"
        elif hasattr(kind, "__fspath__") or issubclass(kind, Enum):
            yield "text"
        else:
            yield f"{TARGET}{kind.__name__}"


def _plural(words: str) -> str:
    return {"a whole number": "whole numbers", "a number": "numbers", "text": "texts"}.get(
        words, f"items, each {words}"
    )
