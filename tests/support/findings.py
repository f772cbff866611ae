"""Findings for tests: one of each kind that agree with one another, and any of any kind within its fields' bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from enum import Enum
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from hypothesis import strategies as st

from probes.schema.bounds import HUGE, MOST
from probes.schema.events import Explained
from probes.schema.explanation import LayerFigures, Layers, LensToken, SpaceFigures, Swap, Swaps
from probes.schema.findings import KINDS, Finding
from probes.schema.foreign_text import visible
from probes.schema.fork_verdict import ForkedRun, ForkVerdict, Recovery
from probes.schema.quadrants import Blame, CachePosition, Quadrants
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures
from probes.schema.split_anatomy import MarginPart, Rival, SplitAnatomy, SplitVerdict
from tests.support.records import TEXTS, _within


def any_of(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a field with this type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        kind, meta = arguments
        if kind is float:
            return _within(meta.ge, meta.le)
        return st.integers(meta.ge, meta.le) if kind is int else TEXTS
    if origin in (Union, UnionType):
        return st.one_of(*map(any_of, arguments))
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(any_of(arguments[0]), max_size=2).map(tuple)
    if origin is Mapping or getattr(origin, "__name__", "") == "Mapping":
        return st.dictionaries(TEXTS.map(visible), any_of(arguments[1]), max_size=3)
    if is_dataclass(hint) and isinstance(hint, type):
        hints = get_type_hints(hint, include_extras=True)
        return st.builds(hint, **{field.name: any_of(hints[field.name]) for field in fields(hint)})
    if isinstance(hint, type) and issubclass(hint, Enum):
        return st.sampled_from(list(hint))
    plain: dict[Any, st.SearchStrategy[Any]] = {
        float: _within(-HUGE, HUGE),
        int: st.integers(-MOST, MOST),
        bool: st.booleans(),
        str: TEXTS.map(visible),
        type(None): st.none(),
    }
    return plain[hint]


FINDINGS: st.SearchStrategy[Finding] = st.sampled_from(sorted(KINDS)).flatmap(lambda kind: any_of(KINDS[kind]))


def sample_findings(run: int = 1, step: int = 3, branch: int = 0) -> list[Explained]:
    """One finding of each kind that explains a step, about a model of three layers."""
    place = Explained(run, branch, step, Layers(()))
    one = ForkedRun(" a", 8, 0.75, 0.2, 0.1, False, " a b", Recovery.RECOVERS)
    other = ForkedRun(" b", 8, 0.25, 2.0, 3.0, True, " b b b b", Recovery.COLLAPSES)
    found: tuple[Finding, ...] = (
        Layers(tuple(_layer(layer, kind) for layer in range(3) for kind in ("attn", "mlp"))),
        SplitAnatomy(
            a=Rival(5, " a", 0.5, 0.2, 3.0, 2.0, 1, 2),
            b=Rival(7, " b", 0.3, 0.4, 2.5, 2.7, 2, 1),
            margin_dense=0.5,
            margin_pruned=-0.7,
            entropy_dense=1.1,
            entropy_pruned=1.6,
            parts=(
                MarginPart(None, "embedding", 0.1, 0.1),
                *(MarginPart(n, kind, 0.1, 0.1 - n / 10) for n in range(3) for kind in ("attn", "mlp")),
            ),
            verdict=SplitVerdict.CONFIDENT_FLIP,
        ),
        Quadrants(0.1, 0.7, 0.9, Blame.MEMORY, (CachePosition(4, 9, " x", 0.3, 0.6),), cached=8, tried=8),
        ForkVerdict(one, other, 0.7, 0.3),
        Swaps(
            steps=1,
            kl=0.9,
            kl_all_healed=0.0,
            heal=tuple(_swap(layer, kind, 0.9) for layer in (2, 1, 0) for kind in ("mlp", "attn")),
            damage=tuple(_swap(layer, kind, 0.0) for layer in (2, 1, 0) for kind in ("mlp", "attn")),
            additivity=1.2,
            control=0.0,
            rank_correlation=0.9,
        ),
    )
    return [replace(place, found=one) for one in found]


def _layer(layer: int, kind: str) -> LayerFigures:
    h, z = HiddenFigures(1 - layer / 10, 10.0, 1.0, 0.1, 0.2, 0.02), LogitFigures(0.9, 0.8, *[0.5] * 8)
    p = ProbabilityFigures(layer / 5, layer / 5, 0.1, 0.1, 0.9, 1.0, 1.1, 0.2, 0.1, 1, 1, 1.0)
    own = SpaceFigures(h, z, replace(p, kl=math.inf) if (layer, kind) == (2, "mlp") else p)
    token = LensToken(5, " a", 0.5)
    return LayerFigures(layer, kind, SpaceFigures(h, z, p), own, token, LensToken(7, " b", 0.4) if layer else token)


def _swap(layer: int, kind: str, before: float) -> Swap:
    change = (layer + 1) / 10 * (1 if kind == "mlp" else 0.5) * (1 if before else -1)
    return Swap(layer, kind, before, before - change, change, layer == 2, change if before else None)
