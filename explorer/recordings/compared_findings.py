"""Sets side by side what explains a step in several recordings: the layer they part at, the largest heal, the blame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from explorer.words import numbers
from probes.recording import RecordedRun
from probes.schema.explanation import LayerFigures, Layers, Swap, Swaps
from probes.schema.findings import Finding, kind_of
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.noise_floor import NoiseFloor
from probes.schema.quadrants import Quadrants
from probes.schema.repair import Repair
from probes.schema.split_anatomy import SplitAnatomy


@dataclass(frozen=True, slots=True)
class ComparedFinding:
    """One thing that explains a step, in every recording."""

    step: int
    """0 for the whole run."""
    through: int | None
    """The last step of a span."""
    what: str
    """"parting layer", "largest heal", …"""
    values: tuple[str, ...]
    """In words, one a recording."""

    @property
    def where(self) -> str:
        """The steps in words."""
        return steps_in_words(self.step, self.through)


def compare_findings(runs: Sequence[RecordedRun]) -> tuple[ComparedFinding, ...]:
    """What every run has about the same step, in the order of the steps."""
    found = [
        {(one.step, one.through or 0, kind_of(one.found), one.level): one.found for one in run.explained_path()}
        for run in runs
    ]
    common = sorted(set.intersection(*map(set, found))) if found else []
    rows = []
    for place in common:
        said = [dict(in_words(one[place])) for one in found]
        for what in said[0]:
            values = tuple(one.get(what, numbers.NONE) for one in said)
            rows.append(ComparedFinding(place[0], place[1] or None, what, values))
    return tuple(rows)


def steps_in_words(step: int, through: int | None) -> str:
    """The steps that a finding is about; step 0 is the whole run."""
    if not step:
        return "run"
    return f"step {step}" if through is None else f"steps {step}–{through}"


def in_words(found: Finding) -> Iterator[tuple[str, str]]:
    """What a finding comes down to, in words."""
    match found:
        case Layers():
            yield "parting layer", _name(found.parting) if found.parting else "none"
            alone = [(row, row.same_input.p.kl) for row in found.rows if row.same_input is not None]
            if alone:
                worst, kl = max(alone, key=lambda pair: _order(pair[1]))
                yield "largest same-input KL", f"{_name(worst)} ({_nats(kl)})"
        case Swaps():
            yield "KL of one pass", _nats(found.kl)
            for what, swaps, sign in (("largest heal", found.heal, 1), ("largest damage", found.damage, -1)):
                if swaps:
                    yield what, f"{_name(swaps[0])} ({_nats(sign * swaps[0].kl_drop)})"
        case Quadrants():
            share = f"{_nats(found.pruned_weights)} / {_nats(found.pruned_cache)} of {_nats(found.both)}"
            yield "compute / memory", f"{found.blame.value} ({share})"
        case SplitAnatomy():
            verdict = found.verdict.value if found.verdict else "no split"
            margins = f"{numbers.significant(found.margin_dense)} → {numbers.significant(found.margin_pruned)}"
            yield "split", f"{verdict} (margin {margins})"
        case ForkVerdict():
            forced = (found.dense_into_pruned, found.pruned_into_dense)
            yield "fork, dense / pruned token forced", " / ".join(one.verdict.value for one in forced)
        case NoiseFloor():
            yield "noise floor of KL", _nats(found.floor("p.kl"))
        case Repair():
            yield "repair", f"{found.setting} (KL {_nats(found.span.kl_before)} → {_nats(found.span.kl_after)})"


def _name(one: LayerFigures | Swap) -> str:
    piece = getattr(one, "piece", "")
    return f"{one.sublayer} {one.layer}{f' {piece}' if piece else ''}"


def _nats(value: float) -> str:
    return numbers.significant(value)


def _order(value: float) -> float:
    """An undefined figure is the largest."""
    return value if value == value else float("inf")
