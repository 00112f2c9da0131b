"""Owns the way from JSON to typed values: every key that must be there, every type as annotated.

Knows no meaning: whether the values fit each other is for `checks`.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import types
import typing
from typing import Any

INT64 = range(-(1 << 63), 1 << 63)


class MalformedError(ValueError):
    """Something in the tree is not what the format says; the text names the key."""


def parse(text: str) -> Any:
    """Return the JSON value of `text`.

    Raises:
        ValueError: no JSON, a number without a finite value, or a key twice in one object.
        RecursionError: nested too deeply.
    """
    return json.loads(text, parse_constant=_finite, parse_float=_finite, object_pairs_hook=_each_key_once)


def decode(kind: Any, value: Any, at: str) -> Any:
    """Return `value`, as JSON gives it, as an instance of the annotated type `kind`.

    Keys that a dataclass does not have are ignored.

    Raises:
        MalformedError: a key is missing or has another type; `at` is the name it is given in the message.
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(kind, _expect(value, dict, at), at)
    if origin is tuple:
        return _decode_tuple(arguments[0], _expect(value, list, at), at)
    if origin is dict:
        pairs = _expect(value, dict, at)
        return {key: decode(arguments[1], entry, f"{at}.{key}") for key, entry in pairs.items()}
    if origin in {types.UnionType, typing.Union}:
        return _decode_union(arguments, value, at)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = _as_float(value, at)
    return _expect(value, kind, at)


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"{text} is no finite number")
    return value


def _each_key_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Readers differ in which of the two they take: then it is no longer one manifest.
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"the key {name!r} stands twice in one object")
        found[name] = value
    return found


@functools.cache
def _types_by_name(kind: Any) -> dict[str, Any]:
    return typing.get_type_hints(kind)  # 20 us: too long for each of 100,000 shards


def _decode_dataclass(kind: Any, tree: dict[str, Any], at: str) -> Any:
    types_by_name = _types_by_name(kind)
    values = {}
    for field in dataclasses.fields(kind):
        if field.name in tree:
            values[field.name] = decode(types_by_name[field.name], tree[field.name], f"{at}.{field.name}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise MalformedError(f"{at}: the key {field.name!r} is missing")
    return kind(**values)


def _decode_tuple(kind: Any, entries: list[Any], at: str) -> tuple[Any, ...]:
    # One by one, the thousands of positions of a manifest would take longer than all else in it.
    if kind is int and set(map(type, entries)) == {int} and min(entries) in INT64 and max(entries) in INT64:
        return tuple(entries)
    return tuple(decode(kind, entry, f"{at}[{index}]") for index, entry in enumerate(entries))


def _decode_union(arguments: tuple[Any, ...], value: Any, at: str) -> Any:
    if value is None and types.NoneType in arguments:
        return None
    for argument in (kind for kind in arguments if kind is not types.NoneType):
        try:
            return decode(argument, value, at)
        except MalformedError as error:
            failure = error
    raise failure


def _as_float(value: int, at: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise MalformedError(f"{at}: a number that is too large") from None


def _expect(value: Any, kind: type, at: str) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise MalformedError(f"{at}: expected {kind.__name__}, found {type(value).__name__}")
    if isinstance(value, int) and value not in INT64:
        raise MalformedError(f"{at}: a number that does not fit into 64 bits")
    if isinstance(value, str) and not value.isascii() and any("\ud800" <= sign <= "\udfff" for sign in value):
        raise MalformedError(f"{at}: half of a surrogate pair, which is no text")
    return value
