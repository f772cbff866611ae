"""Converts a step to and from JSON, and finds every figure of a step by its full name.

A figure may be infinite or undefined (nan). JSON has neither, so such a figure is written as null and named in the
step's `nonfinite` object, for example `{"p.kl": "inf"}`; reading restores it.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from dataclasses import is_dataclass
from functools import cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec

from probes.schema.bounds import Place
from probes.schema.record import (
    Choice,
    Comparison,
    HiddenFigures,
    Invalid,
    LogitFigures,
    ProbabilityFigures,
    Side,
    StepRecord,
    Sums,
    Taken,
    TopToken,
    Watched,
)


class FlatStep(msgspec.Struct, frozen=True):
    """The JSON form of a step: the own comparison is four keys of the step, and `shared` is there only if it
    differs."""

    step: Place
    dense: Choice | None
    pruned: Choice | None
    taken: Taken | None
    taken_pruned: Taken | None
    same_context: bool
    agree: bool | None
    h: HiddenFigures | None
    z: LogitFigures | None
    p: ProbabilityFigures | None
    shared: Comparison | None
    sum: Sums
    top: tuple[TopToken, ...]
    invalid: Invalid | None = None
    tied: tuple[Side, ...] = ()
    watched: Watched | None = None

    @classmethod
    def of(cls, record: StepRecord) -> FlatStep:
        own = record.own
        return cls(
            step=record.step,
            dense=record.dense,
            pruned=record.pruned,
            taken=record.taken,
            taken_pruned=record.taken_pruned,
            same_context=record.same_context,
            agree=record.agree,
            h=own.h if own else None,
            z=own.z if own else None,
            p=own.p if own else None,
            shared=None if record.same_context else record.shared,
            sum=record.sum,
            top=own.top if own else (),
            invalid=record.invalid,
            tied=record.tied,
            watched=own.watched if own else None,
        )

    def record(self) -> StepRecord:
        return self.record_with(self.top, self.shared)

    def record_with(self, top: tuple[TopToken, ...], shared: Comparison | None) -> StepRecord:
        """The record with another table and another comparison on the shared context."""
        h, z, p = self.h, self.z, self.p
        return StepRecord(
            step=self.step,
            dense=self.dense,
            pruned=self.pruned,
            taken=self.taken,
            taken_pruned=self.taken_pruned,
            same_context=self.same_context,
            agree=self.agree,
            own=Comparison(h, z, p, top, self.watched) if h is not None and z is not None and p is not None else None,
            shared=shared,
            sum=self.sum,
            invalid=self.invalid,
            tied=self.tied,
        )


@cache
def figures() -> dict[str, tuple[float, float]]:
    """Every figure of a step by its full name ("p.kl", "shared.h.cos", "sum.survival"), with its bounds."""
    return dict(_figures(FlatStep, ""))


def figure_named(record: StepRecord, name: str) -> float | None:
    """A figure of a step by its full name; None if the step has no such figure.

    `shared` is not in the JSON while both models have read the same tokens; its figures are then the own ones.
    """
    node: object = record.own if name.partition(".")[0] in ("h", "z", "p", "watched") else record
    for key in name.split("."):
        node = getattr(node, key, None)
    return node if isinstance(node, (int, float)) else None


def _figures(shape: type, before: str) -> Iterator[tuple[str, tuple[float, float]]]:
    for name, hint in get_type_hints(shape, include_extras=True).items():
        for kind in get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,):
            if is_dataclass(kind) and isinstance(kind, type):
                yield from _figures(kind, f"{before}{name}.")
            elif get_origin(kind) is Annotated and kind.__origin__ in (int, float) and name != "token_id":
                meta = kind.__metadata__[0]
                yield f"{before}{name}", (meta.ge, meta.le)


def to_jsonable(value: object) -> dict[str, Any]:
    """A step or other data as plain dicts. A figure that is not finite is None, and its path is in `nonfinite`."""
    plain: dict[str, Any] = msgspec.to_builtins(FlatStep.of(value) if isinstance(value, StepRecord) else value)
    nonfinite = {path: str(number) for path, number in _floats(plain, "") if not math.isfinite(number)}
    return {**_with_nulls(plain), "nonfinite": nonfinite} if nonfinite else plain


def from_jsonable(plain: dict[str, Any]) -> StepRecord:
    """The step that `to_jsonable` wrote. Raises `msgspec.ValidationError` for other data.

    Unknown keys are ignored, so a newer file can be read. `plain` may be changed.
    """
    named = plain.pop("nonfinite", {})
    if not isinstance(named, dict):
        raise msgspec.ValidationError("`nonfinite` is not an object")
    for path in named:
        _stand_in(plain, path)
    flat = msgspec.convert(plain, FlatStep)
    for path, text in named.items():
        _put(flat, path, text)
    return flat.record()


def _with_nulls(node: Any) -> Any:
    """The same with None for figures that are not finite."""
    if isinstance(node, dict):
        return {key: _with_nulls(child) for key, child in node.items()}
    if isinstance(node, (list, tuple)):
        return [_with_nulls(child) for child in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def _floats(node: Any, path: str) -> Iterator[tuple[str, float]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        here = f"{path}.{key}" if path else str(key)
        if isinstance(child, float):
            yield here, child
        elif isinstance(child, (dict, list, tuple)):
            yield from _floats(child, here)


_STAND_IN = 1.0
"""Replaces a figure that is not finite while the others are checked; it is within the bounds of every figure."""


def _stand_in(node: Any, path: str) -> None:
    *walk, last = path.split(".")
    try:
        for part in walk:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = _STAND_IN
    except (KeyError, IndexError, TypeError, ValueError) as problem:
        raise msgspec.ValidationError(f"`nonfinite` names {path!r}, which can't be put back") from problem


def _put(node: Any, path: str, text: object) -> None:
    """Sets a nonfinite figure in a record that is not yet shared; unknown figures are ignored."""
    *walk, last = path.split(".")
    for part in walk:
        if not isinstance(node, tuple) and part not in _names(node):
            return
        node = node[int(part)] if isinstance(node, tuple) else getattr(node, part)
    if last not in _names(node):
        return
    try:
        number = float(str(text))
    except ValueError:
        number = 0.0
    if math.isfinite(number) or not isinstance(getattr(node, last), float):
        raise msgspec.ValidationError(f"`nonfinite` names {path!r}, which can't be put back")
    if isinstance(node, msgspec.Struct):
        msgspec.structs.force_setattr(node, last, number)
    else:
        object.__setattr__(node, last, number)


def _names(node: object) -> Collection[str]:
    """The names of a record's fields; none of anything else."""
    if isinstance(node, msgspec.Struct):
        return node.__struct_fields__
    names: Collection[str] = getattr(node, "__dataclass_fields__", ())
    return names
