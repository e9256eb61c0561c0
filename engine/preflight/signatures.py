"""What a `_target_` takes, from its own signature and annotations: names, types, choices and ranges."""

import inspect
import types
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
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

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
"""What annotated_types calls its limits, in words."""


class Signature(NamedTuple):
    """The keywords that a callable takes, with their annotations; those it must have; whether it takes any other."""

    hints: dict[str, Any]
    required: list[str]
    takes_others: bool


def signature_of(target: Callable[..., Any]) -> Signature:
    """A class passes what its constructor has no name for (**kwargs) to its base's, whose names are then taken too.

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
        others = False
        for parameter in parameters[1:] if inspect.isclass(target) else parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                others = True
            elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hints.setdefault(parameter.name, annotations.get(parameter.name, Any))
                if level == 0 and parameter.default is parameter.empty:
                    required.append(parameter.name)
        if not others:
            return Signature(hints, required, False)
    return Signature(hints, required, True)


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


SCALARS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    str: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
}


def fits(value: Any, hint: Any) -> bool:
    """Whether a config's value (None, bool, number, text, list, mapping) is of the annotated type and in its range.

    A mapping with a `_target_` fits anything, and so does any value where the annotation tells nothing of YAML's types.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        return True
    if origin is Annotated:
        return fits(value, arguments[0]) and all(_is_within(value, limit) for limit in arguments[1:])
    if origin is Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin in (Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if hint in SCALARS:
        return SCALARS[hint](value)
    return _fits_class(value, origin or hint, arguments)


def _fits_class(value: Any, kind: Any, arguments: tuple[Any, ...]) -> bool:
    if not inspect.isclass(kind) or kind in (Any, object):
        return True
    if issubclass(kind, Mapping):  # a TypedDict is one
        return isinstance(value, Mapping)
    if issubclass(kind, Enum):
        return True
    if _is_list(kind):
        return isinstance(value, list) and _elements_fit(value, kind, arguments)
    # A path is given as text; anything else (a module, a function) by a _target_.
    return isinstance(value, str) and hasattr(kind, "__fspath__")


def _is_list(kind: type) -> bool:
    """Whether a list in YAML can be one; a tensor, which is iterable too, is none."""
    return issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc")


def _elements_fit(value: list[Any], kind: type, arguments: tuple[Any, ...]) -> bool:
    if not arguments or not issubclass(kind, Collection):
        return True
    if kind is tuple and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return all(fits(element, arguments[0]) for element in value)


def _is_within(value: Any, limit: Any) -> bool:
    """Of a number and one of annotated_types' limits; anything else is within."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    gt, ge, lt, le = (getattr(limit, name, None) for name in BOUNDS)
    return (
        (gt is None or value > gt)
        and (ge is None or value >= ge)
        and (lt is None or value < lt)
        and (le is None or value <= le)
    )


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
