"""Invented findings for screens, and toy models that answer with them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from explorer.sources.toy.source import ToySource
from probes.schema.errors import BadInput, Cancelled
from probes.schema.events import Explained, WorkProgressed
from probes.schema.explanation import LayerFigures, Layers, LensToken, SpaceFigures, Swap, Swaps
from probes.schema.findings import Finding
from probes.schema.fork_verdict import ForkedRun, ForkVerdict, Recovery
from probes.schema.noise_floor import Noise, NoiseFloor
from probes.schema.quadrants import Blame, CachePosition, Quadrants
from probes.schema.record import HiddenFigures, LogitFigures, ProbabilityFigures
from probes.schema.repair import Gain, GivenBack, Repair
from probes.schema.requests import Cancel, Explain, FindRepair, Prune, Request
from probes.schema.settings import Follow, RunSettings
from probes.schema.split_anatomy import MarginPart, Rival, SplitAnatomy, SplitVerdict

CULPRIT = 7


def space_figures(amount: float) -> SpaceFigures:
    """Figures of two states that are this far apart."""
    gap = min(1.9, amount / 4)
    return SpaceFigures(
        HiddenFigures(1 - gap, 10.0, 1.0, 0.1, 0.2, gap * 0.9),
        LogitFigures(0.9, 1 - gap, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.1, 0.1),
        ProbabilityFigures(amount, amount, 0.1, 0.2, 1 - gap, 1.0, 1.1, amount * 0.8, gap * 0.7, 1, 2, 0.8),
    )


def layers(step: int, count: int = 30) -> Layers:
    """The MLP of layer 7 does it; from then on the lenses differ."""
    rows: list[LayerFigures] = []
    total, parted = 0.0, False
    for layer in range(count):
        for sublayer in ("attn", "mlp"):
            guilty = layer == min(CULPRIT, count - 1) and sublayer == "mlp"
            own = (1.2 if guilty else 0.004) * (0.3 + abs(math.sin(step)))
            total += own
            parted = parted or guilty
            rows.append(
                LayerFigures(
                    layer,
                    sublayer,
                    space_figures(own),
                    space_figures(total),
                    LensToken(1, " the", min(1.0, 0.02 * (layer + 1))),
                    LensToken(2 if parted else 1, " half" if parted else " the", 0.3),
                )
            )
    return Layers(tuple(rows))


def swaps(steps: int = 1, count: int = 30, *, exact: int | None = None, pieces: Sequence[str] = ("",)) -> Swaps:
    """Heal and damage; only the first `exact` heals are exact."""
    kl = 1.63
    parts = [(layer, kind, piece) for layer in range(count) for kind in ("attn", "mlp") for piece in pieces]

    def drop(layer: int, kind: str) -> float:
        return 1.41 if (layer, kind) == (min(CULPRIT, count - 1), "mlp") else 0.06 * math.cos(layer + (kind == "mlp"))

    parts.sort(key=lambda part: -drop(*part[:2]))
    heal = tuple(
        Swap(
            layer,
            kind,
            kl,
            max(0.0, kl - drop(layer, kind)),
            drop(layer, kind),
            drop(layer, kind) > 1,
            0.9 * drop(layer, kind),
            exact is None or place < exact,
            piece,
        )
        for place, (layer, kind, piece) in enumerate(parts)
    )
    damage = tuple(replace(one, kl_before=0.0, kl_drop=-abs(one.kl_drop) / 2, estimate=None) for one in heal)
    return Swaps(steps, kl, 0.0, heal, damage if exact is None else (), 1.12, 0.0, 0.87)


QUADRANTS = Quadrants(
    0.31,
    1.22,
    1.63,
    Blame.MEMORY,
    (CachePosition(14, 3, " clips", 0.71, 0.92), CachePosition(2, 9, " sold", 1.5, 0.13)),
    40,
    16,
)
SPLIT = SplitAnatomy(
    Rival(1, " ", 0.598, 0.139, 12.0, 10.1, 1, 2),
    Rival(2, " half", 0.037, 0.541, 9.2, 11.5, 4, 1),
    2.78,
    -1.36,
    1.31,
    1.62,
    (
        MarginPart(None, "embedding", 0.1, 0.1),
        *(MarginPart(layer, kind, 0.2, 0.2 - 0.01 * layer) for layer in range(12) for kind in ("attn", "mlp")),
        MarginPart(None, "head", 0.0, 0.0),
    ),
    SplitVerdict.CONFIDENT_FLIP,
)
FORK = ForkVerdict(
    ForkedRun(" ", 32, 0.81, 0.42, 0.35, False, " 48 clips in April, and", Recovery.RECOVERS),
    ForkedRun(" half", 32, 0.22, 3.1, 3.4, True, " half of the clips of the clips", Recovery.COLLAPSES),
    0.75,
    0.3,
)
FLOOR = NoiseFloor(
    32,
    (
        Noise("1 thread", {"p.kl": 2e-9, "h.gap": 1e-7}),
        Noise("batch of 2", {"p.kl": 0.004, "h.gap": 3e-4}),
        Noise("bfloat16", {"p.kl": 0.02, "h.gap": 0.01}),
    ),
    {"eager attention": "The models know one kernel only."},
    "float32",
)
REPAIR = Repair(
    "sublayer",
    0.1,
    None,
    True,
    "wanda:0.5+dense@mlp@layers=7+dense@attn@layers=3",
    (GivenBack(7, "mlp", "", 1_327_104, 0.22, 0.75), GivenBack(3, "attn", "", 442_368, 0.08, 1.0)),
    1,
    1_769_472,
    53_084_160,
    Gain(4, 1.63, 0.08, 0.25, 1.0),
    Gain(32, 0.9, 0.7, 0.6, 0.7),
    "the 32 steps after the span",
    184,
)


class ExplainedSource(ToySource):
    """Toy models that explain at once. Of the kinds in `held` it answers only with what `partial` gives."""

    def __init__(self, follow: Follow = Follow.DENSE, *, count: int = 30, live: bool = True, **more: Any) -> None:
        super().__init__(RunSettings("How many clips did Natalia sell?", follow=follow, steps=128), live=live, **more)
        self.count = count
        self.held: set[str] = set()
        self.broken: dict[str, str] = {}
        """Kinds that fail, with the sentence."""
        self.nan = False

    def ask(self, request: Request) -> None:
        match request:
            case Explain():
                self.asked.append(request)
                for kind in request.kinds:
                    self.explain(request, kind)
            case FindRepair():
                self.asked.append(request)
                if "repair" not in self.held:
                    self.find(request.step, REPAIR, request.through, level=request.level, request=request.id)
                else:
                    self.emit(WorkProgressed("Searching for a repair", 12, 60, "sets", request=request.id))
            case Prune() if "prune" in self.held:
                self.asked.append(request)
            case Cancel(other) if other:
                self.asked.append(request)
                self.emit(self._failure(Cancelled("Explaining"), other))
            case _:
                super().ask(request)

    def explain(self, request: Explain, kind: str) -> None:
        step, through = request.step, request.through
        if kind in self.broken:
            self.emit(self._failure(BadInput("Can't be explained", self.broken[kind], ""), request.id))
        elif kind == "swaps" and kind in self.held:
            steps = (through or step) - step + 1
            self.find(step, swaps(steps, self.count, exact=4), through, request=request.id, final=False)
            self.emit(WorkProgressed("Healing", 4, 2 * self.count, "sublayers", request=request.id))
        elif kind in self.held:
            return
        elif request.near is not None:
            for one in sorted(range(step, (through or step) + 1), key=lambda at: abs(at - (request.near or 0))):
                self.find(one, self.layers(one), request=request.id)
        elif kind == "swaps":
            pieces = {"sublayer": ("",), "matrix": ("q_proj", "o_proj"), "head": ("head 0", "group 0")}[request.level]
            found = swaps((through or step) - step + 1, self.count, pieces=pieces)
            self.find(step, found, through, level=request.level, request=request.id)
        else:
            single: dict[str, Finding] = {"quadrants": QUADRANTS, "split": SPLIT, "fork": FORK, "noise_floor": FLOOR}
            self.find(step, self.layers(step) if kind == "layers" else single[kind], request=request.id)

    def layers(self, step: int) -> Layers:
        found = layers(step, self.count)
        if not self.nan:
            return found
        first = found.rows[0]
        odd = replace(first.accumulated, p=replace(first.accumulated.p, kl=math.nan))
        infinite = replace(first.accumulated, p=replace(first.accumulated.p, kl=math.inf))
        rows = (replace(first, accumulated=odd), replace(found.rows[1], accumulated=infinite), *found.rows[2:])
        return Layers(rows)

    def find(
        self,
        step: int,
        found: Finding,
        through: int | None = None,
        *,
        level: str = "sublayer",
        final: bool = True,
        request: int = 0,
    ) -> None:
        """Sends a finding."""
        self.emit(Explained(self._head.run, 0, step, found, through, level, final, request=request))

    def _failure(self, problem: BadInput | Cancelled, request: int) -> Any:
        from explorer.sources.shown_errors import failure_of

        return failure_of(problem, request)
