"""Writes what explains a step as plain data, and reads it again, whatever a file holds.

A figure that is not finite is null, and its path is in `nonfinite`, as in the line of a step.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import cache
from types import UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec

from probes.schema.bounds import HUGE, LONGEST_TEXT, LONGEST_TOKEN, MOST, TokenString
from probes.schema.findings import KINDS, Finding
from probes.schema.flat_step import to_jsonable
from probes.schema.foreign_text import visible

MOST_ENTRIES, MOST_VALUES = 10_000, 500_000
"""Entries of one list of a finding, and the values of a whole finding."""

Value = TypeVar("Value")

_STAND_IN = 1.0
"""Replaces a figure that is not finite while the others are checked; it is within the bounds of every figure."""


def finding_data(found: Finding) -> dict[str, Any]:
    """The keys `found` and, if a figure is not finite, `nonfinite`."""
    plain = to_jsonable(found)
    named = plain.pop("nonfinite", {})
    return {"found": _cut(plain), **({"nonfinite": named} if named else {})}


def finding_from(what: str, plain: dict[str, Any], nonfinite: Mapping[str, str]) -> Finding:
    """The finding that `finding_data` wrote; unknown keys are ignored. Raises ValueError, or a `MsgspecError`, if it is
    none, if a list or a number is out of bounds, or if the kind is not known."""
    if what not in KINDS:
        raise ValueError(f"{visible(what, LONGEST_TEXT)!r} is no kind of finding")
    _check(plain)
    safe: Finding = _safe(value_from(KINDS[what], plain, nonfinite), KINDS[what])
    return safe


def value_from(kind: type[Value], plain: dict[str, Any], nonfinite: Mapping[str, str]) -> Value:
    """A frozen dataclass from plain data, with its figures that are not finite put back. Raises ValueError, or a
    `MsgspecError`, if it is none, or if a number is out of bounds."""
    places = {_place(plain, path.split(".")): text for path, text in nonfinite.items()}
    for place in places:
        holder = _holder(plain, place)
        if holder[place[-1]] is not None:
            raise ValueError(f"`nonfinite` names {'.'.join(map(str, place))!r}, which has a value")
        holder[place[-1]] = _STAND_IN
    found = msgspec.convert(plain, kind)
    for place, text in places.items():
        _put(found, place, text)
    return found


def _cut(node: Any) -> Any:
    """The same data with text no longer than can be read again."""
    if isinstance(node, str):
        return node[:LONGEST_TOKEN]
    if isinstance(node, dict):
        return {key: _cut(child) for key, child in node.items()}
    return [_cut(child) for child in node] if isinstance(node, (list, tuple)) else node


def _check(plain: dict[str, Any]) -> None:
    """Raises ValueError if a number is too large for a figure, or a list too long."""
    left, nodes = MOST_VALUES, [plain]
    while nodes:
        node: Any = nodes.pop()
        if isinstance(node, (dict, list)):
            left -= len(node)
            if len(node) > MOST_ENTRIES or left < 0:
                raise ValueError(
                    f"more than {MOST_ENTRIES:,} entries in a list of a finding, or {MOST_VALUES:,} values"
                )
            nodes += node.values() if isinstance(node, dict) else node
        elif isinstance(node, float) and not abs(node) <= HUGE:
            raise ValueError(f"{node:g} is no figure")
        elif isinstance(node, int) and not abs(node) <= MOST:
            raise ValueError("a whole number that is too large")


Key = str | int


def _place(node: Any, path: Sequence[str]) -> tuple[Key, ...]:
    """The keys that a dotted path means; a key may itself have dots."""
    if not path:
        return ()
    if isinstance(node, list):
        place = int(path[0])
        if not 0 <= place < len(node):
            raise ValueError("`nonfinite` names an entry that is not there")
        return (place, *_place(node[place], path[1:]))
    for count in range(1, len(path) + 1) if isinstance(node, dict) else ():
        key = ".".join(path[:count])
        if key in node and (count == len(path) or isinstance(node[key], (dict, list))):
            return (key, *_place(node[key], path[count:]))
    raise ValueError(f"`nonfinite` names {'.'.join(path)!r}, which is not there")


def _holder(node: Any, place: tuple[Key, ...]) -> Any:
    if not place:
        raise ValueError("`nonfinite` names nothing")
    for key in place[:-1]:
        node = node[key]
    return node


def _put(found: Any, place: tuple[Key, ...], text: object) -> None:
    """Sets a figure of a finding that is not yet shared; figures that this version does not know are passed over."""
    number = float(str(text))
    *walk, last = place
    for key in walk:
        found = found[key] if isinstance(found, dict) else _entry(found, key)
    now = found.get(last) if isinstance(found, dict) else getattr(found, str(last), None)
    if now is None:
        return
    if math.isfinite(number) or not isinstance(now, float):
        raise ValueError(f"`nonfinite` names {'.'.join(map(str, place))!r}, which can't be put back")
    if isinstance(found, dict):
        found[last] = number
    else:
        object.__setattr__(found, str(last), number)


def _entry(node: Any, key: Key) -> Any:
    return node[int(key)] if isinstance(node, tuple) else getattr(node, str(key), None)


def _safe(node: Any, hint: Any) -> Any:
    """The same finding with all text but tokens made safe to show. Tokens are made safe when they are shown."""
    if isinstance(node, str):
        return node if hint == TokenString else type(node)(visible(node, LONGEST_TEXT))
    if isinstance(node, tuple):
        return tuple(_safe(child, _inner(hint)) for child in node)
    if isinstance(node, dict):
        return {visible(key, LONGEST_TEXT): _safe(child, _inner(hint)) for key, child in node.items()}
    if not is_dataclass(node) or isinstance(node, type):
        return node
    for field in fields(node):
        object.__setattr__(node, field.name, _safe(getattr(node, field.name), _hints(type(node))[field.name]))
    return node


@cache
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _inner(hint: Any) -> Any:
    """The type of the values of a tuple or a mapping, also of an optional one."""
    if get_origin(hint) in (Union, UnionType):
        hint = next((one for one in get_args(hint) if one is not type(None)), hint)
    values = [one for one in get_args(hint) if one is not Ellipsis]
    return values[-1] if values else None
