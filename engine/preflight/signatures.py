"""The names, types, choices and ranges that a `_target_` accepts, from its signature and annotations."""

import ast
import inspect
import json
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from difflib import get_close_matches
from enum import Enum
from functools import cache
from pathlib import PurePath
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from engine.preflight.findings import Findings, is_known

PATHS = ("data_dir", "table", "cache_dir", "index_dir")
"""Keys for which an empty text would be the current folder."""

BOUNDS = {"gt": "above", "ge": "at least", "lt": "below", "le": "at most"}
"""annotated_types' limits in words."""


class Signature(NamedTuple):
    """A callable's keywords with their annotations, the required ones, and whether it takes any others."""

    hints: dict[str, Any]
    required: list[str]
    takes_others: bool

    def takes(self, name: str) -> bool:
        return self.takes_others or name in self.hints


def signature_of(target: Callable[..., Any]) -> Signature:
    """A callable's signature. A constructor that only passes its **kwargs on to its base also has the base's names.

    The base's required arguments are required, too, unless the constructor passes them itself.
    """
    hints: dict[str, Any] = {}
    required: list[str] = []
    given: set[str] = set()
    for function in _constructors(target):
        try:
            parameters = list(inspect.signature(function).parameters.values())
        except (TypeError, ValueError):  # written in C, without a signature
            return Signature(hints, required, True)
        annotations = type_hints(function)
        others = None
        for parameter in parameters[1:] if inspect.isclass(target) else parameters:
            if parameter.kind is parameter.VAR_KEYWORD:
                others = parameter.name
            elif parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                hint = annotations.get(parameter.name, Any)
                if parameter.default is parameter.empty and parameter.name not in {*hints, *given}:
                    required.append(parameter.name)
                hints.setdefault(parameter.name, hint if parameter.default is not None else Union[hint, None])  # noqa: UP007
        if others is None:
            return Signature(hints, required, False)
        if (passed := _passed_on(function, others)) is None:
            break
        given |= passed
    return Signature(hints, required, True)


def _passed_on(function: Callable[..., Any], name: str) -> set[str] | None:
    """Keywords passed to another `__init__` along with the **kwargs `name`; None if these are used in other ways."""
    try:
        nodes = list(ast.walk(ast.parse(textwrap.dedent(inspect.getsource(function)))))
    except (OSError, TypeError, SyntaxError):
        return None
    calls = [node for node in nodes if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "__init__"]
    keywords = [keyword for call in calls for keyword in call.keywords]
    passed = [keyword.value for keyword in keywords if keyword.arg is None]
    read = [node.value for node in nodes if isinstance(node, ast.Subscript)]
    uses = [node for node in nodes if isinstance(node, ast.Name) and node.id == name]
    if not {*uses} & {*passed} or any(use not in passed and use not in read for use in uses):
        return None
    return {keyword.arg for keyword in keywords if keyword.arg}


def _constructors(target: Any) -> Iterator[Callable[..., Any]]:
    if not inspect.isclass(target):
        yield target
        return
    own = [vars(base)["__init__"] for base in target.__mro__[:-1] if "__init__" in vars(base)]
    yield from own or [_nothing if target.__new__ is object.__new__ else target.__new__]


def _nothing(self: Any) -> None:
    """Stands for the constructor of a class without one."""


def type_hints(function: Any) -> dict[str, Any]:
    """A function's annotations; empty if one names something imported only for type checkers."""
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError):
        return {}


# Values --------------------------------------------------------------------------------------------------------------


def fits(value: Any, hint: Any) -> bool:
    """Whether a config's value (None, bool, number, text, list, mapping) has the annotated type and range.

    Nothing is converted, except lists to tuples and text to paths, which YAML lacks. Values that contain a mapping with
    a `_target_` fit any annotation, and any value fits an annotation that pydantic does not know.
    """
    if _holds_target(value) or (adapter := _adapter(hint)) is None:
        return True
    # In JSON mode, lists fit tuples and text fits paths; in Python mode, a list fits every class it is an instance of.
    with suppress(TypeError, ValueError):  # ValidationError is one
        return _is_still(value, adapter.validate_json(json.dumps(value), strict=True))
    with suppress(ValidationError):
        return _is_still(value, adapter.validate_python(value, strict=True))
    return False


def _holds_target(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "_target_" in value or any(map(_holds_target, value.values()))
    return isinstance(value, list) and any(map(_holds_target, value))


@cache
def _adapter(hint: Any) -> TypeAdapter[Any] | None:
    for config in (ConfigDict(arbitrary_types_allowed=True), None):  # a TypedDict accepts no config
        with suppress(Exception):  # an annotation may contain things that are no types
            adapter = TypeAdapter(hint, config=config)
            with suppress(ValidationError):
                adapter.validate_python(None)  # undefined names are found only now
            return adapter
    return None


def _is_still(value: Any, validated: Any) -> bool:
    """False if `true` was accepted as the 1 of a Literal[1], or text as a time or a number."""
    if isinstance(value, str):
        return isinstance(validated, str | PurePath | Enum)
    return not isinstance(value, bool) or isinstance(validated, bool)


# Words ---------------------------------------------------------------------------------------------------------------

WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text", type(None): "null"}
TARGET = "a _target_ that makes a "


def described(hint: Any) -> str:
    """An annotation in words: `a whole number at least 1 or null`."""
    parts = list(dict.fromkeys(_alternatives(hint)))
    # Types that need a _target_ are only mentioned if there is no alternative.
    others = [part for part in parts if not part.startswith(TARGET)]
    parts = others if {*others} - {"null"} else parts
    choices = [part for part in parts if part.startswith("'")]
    others = [part for part in parts if not part.startswith("'")]
    if choices:
        others.insert(0, ("one of " if len(choices) > 1 else "") + " | ".join(choice[1:] for choice in choices))
    return " or ".join(others) if len(others) < 3 else f"{', '.join(others[:-1])} or {others[-1]}"


def choices_of(hint: Any) -> list[str]:
    """The texts of a Literal annotation."""
    return [part[1:] for part in _alternatives(hint) if part.startswith("'")]


def _alternatives(hint: Any) -> Iterator[str]:
    """The alternatives of an annotation; the texts of a Literal start with a quote."""
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


def _is_list(kind: type) -> bool:
    """Whether a YAML list can be one; a tensor is iterable, too, but no list."""
    return issubclass(kind, Iterable) and kind.__module__ in ("builtins", "collections.abc")


def _plural(words: str) -> str:
    return {"a whole number": "whole numbers", "a number": "numbers", "text": "texts"}.get(
        words, f"items, each {words}"
    )


def check_hint(findings: Findings, path: str, value: Any, hint: Any) -> None:
    """Adds a mistake if the value does not fit the annotation."""
    if not is_known(value) or (fits(value, hint) and not (value == "" and path.rpartition(".")[2] in PATHS)):
        return
    near = get_close_matches(str(value), choices_of(hint), n=1)
    findings.add(path, f"must be {described(hint)}" + (f"; did you mean {near[0]}?" if near else ""))
