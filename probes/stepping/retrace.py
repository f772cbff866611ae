"""Measures recorded steps again, along their tokens, and compares the figures with the recorded ones.

A recording can be continued only if the models in memory are the recorded ones: weights can have changed, and a library
can compute differently. Names and hashes show that the models are the same; `retrace` shows that they still give the
same figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

from probes.schema.counting import number_of
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.record import Choice, StepRecord, Taken
from probes.schema.settings import Follow
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.stepping.lockstep import Lockstep

TOLERANCE = 1e-4
"""The allowed difference of two figures, relative to the recorded one if that is above 1. On one machine they are
bit-identical; other shapes or threads change logits by about 5e-5."""

RETRACING = "Measuring the recorded steps again"

_DERIVED = frozenset({"angle", "rank_dense_in_pruned", "rank_pruned_in_dense", "topk_overlap"})
"""Figures that are not compared: the angle follows from the cosine and is ill-conditioned near 0°, the others jump at
near-ties."""


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure that differs from the recorded one."""

    step: int
    figure: str
    """Its dotted name: "p.kl", "shared.z.rms"; "dense.token_id" and "pruned.token_id" for a choice."""
    recorded: float | None
    here: float | None
    """None if the step has no such figure."""

    @property
    def size(self) -> float:
        """The difference, relative to the recorded figure if that is above 1; infinite if one of the two is missing."""
        if self.figure.endswith("token_id") or self.recorded is None or self.here is None:
            return math.inf
        if not (math.isfinite(self.recorded) and math.isfinite(self.here)):
            return math.inf
        return abs(self.here - self.recorded) / max(1.0, abs(self.recorded))

    def __str__(self) -> str:
        return f"{self.figure} of step {self.step} was {_shown(self.recorded)} and is {_shown(self.here)} now"


@dataclass(frozen=True, slots=True)
class Retraced:
    """The result of measuring recorded steps again."""

    path: tuple[StepRecord, ...]
    """The new measurements, along the recorded tokens."""
    differences: tuple[Difference, ...]
    """The largest difference of each step that has one."""

    @property
    def beyond(self) -> tuple[Difference, ...]:
        """The differences above `TOLERANCE`."""
        return tuple(found for found in self.differences if found.size > TOLERANCE)

    @property
    def largest(self) -> Difference | None:
        return max(self.differences, key=lambda found: found.size, default=None)

    def __str__(self) -> str:
        """The outcome in a sentence or two."""
        steps, largest = number_of(len(self.path), "step"), self.largest
        if largest is None:
            return f"{steps} measured again: all figures are identical to the recorded ones."
        if not self.beyond:
            return f"{steps} measured again: all figures agree within {TOLERANCE:g}. The largest difference: {largest}."
        first = self.beyond[0]
        more = "" if largest == first else f" The largest: {largest}."
        return f"{len(self.beyond)} of {steps} differ from the recording by more than {TOLERANCE:g}. {first}.{more}"


def retrace(
    lockstep: Lockstep,
    recorded: Sequence[StepRecord],
    work: Work = UNWATCHED,
) -> Retraced:
    """Measures the recorded steps on a lockstep at its beginning, and leaves it at their end.

    Raises `BadInput` if a step's token is unknown because its line is lost, or if the models can't read further, and
    `Cancelled`.
    """
    path: list[StepRecord] = []
    differences: list[Difference] = []
    for record in recorded:
        work.check(RETRACING)
        if record.missing:
            raise BadInput(
                "A step is missing",
                f"The recording's line of step {record.step} can't be read, so its token is unknown.",
                f"Put the cursor before step {record.step}, and continue from there.",
            )
        if lockstep.finished:
            raise BadInput(
                "Not the recorded path",
                f"On the recorded tokens, the models end before step {record.step}.",
                f"Put the cursor before step {record.step}, and continue from there.",
            )
        here = _named(lockstep.step(dense=_token(record.taken), pruned=_token(record.taken_pruned)), record, lockstep)
        path.append(here)
        differences += _largest(record, here)
        work.report(RETRACING, len(path), len(recorded), "steps")
    lockstep.seek(path)
    return Retraced(tuple(path), tuple(differences))


def check_same_models(recorded: RunHeader, here: RunHeader) -> tuple[str, ...]:
    """Raises `BadInput` if hashes or sizes show that the models are not the recorded ones.

    Returns sentences about differences that are allowed. On another processor, calibrated masks differ in a few weights
    of a thousand, with more differences in later blocks, which changes figures of single steps by a tenth.
    """
    for role, was, found in (("dense", recorded.dense, here.dense), ("pruned", recorded.pruned, here.pruned)):
        same_kind = (was.dtype, was.architecture) == (found.dtype, found.architecture)
        if was.fingerprint and found.fingerprint and was.fingerprint != found.fingerprint and same_kind:
            raise BadInput(
                "Another model",
                f"The weights of {found.spec} are not those of the recorded {role} model: their SHA-256 begins with "
                f"{found.fingerprint[:8]}, the recorded one with {was.fingerprint[:8]}.",
                "Restore the recorded weights, or begin a new run with these.",
            )
        if was.vocabulary != found.vocabulary or was.layers != found.layers:
            raise BadInput(
                "Another model",
                f"{found.spec} has {found.layers} layers and {found.vocabulary:,} tokens; the recorded {role} model "
                f"had {was.layers} and {was.vocabulary:,}.",
                "Restore the recorded model, or begin a new run with this one.",
            )
    return tuple(_notes(recorded, here))


def _notes(recorded: RunHeader, here: RunHeader) -> Iterator[str]:
    for role, was, found in (("dense", recorded.dense, here.dense), ("pruned", recorded.pruned, here.pruned)):
        if was.dtype != found.dtype:
            yield f"The {role} model is now in {found.dtype} and was recorded in {was.dtype}."
        if was.device != found.device:
            yield f"The {role} model is now on {found.device} and was recorded on {was.device}."
    was_pruned, is_pruned = recorded.prune, here.prune
    if was_pruned and is_pruned and was_pruned.mask_hash and was_pruned.mask_hash != is_pruned.mask_hash:
        if was_pruned.calibration and is_pruned.calibration:
            if was_pruned.calibration.sha256 != is_pruned.calibration.sha256:
                yield "The setting is now calibrated on another text than in the recording."
                return
            yield (
                "The setting now removes other weights than in the recording: calibrated methods decide near-ties by "
                "the last digits of their measurements, which differ between processors."
            )
            return
        yield "The setting now removes other weights than in the recording."


def _named(here: StepRecord, recorded: StepRecord, lockstep: Lockstep) -> StepRecord:
    """The step in which a token counts as forced only if a person forced it, or if the model now chooses another."""
    follow = lockstep.settings.follow
    own = here.pruned if follow is Follow.PRUNED else here.dense
    taken, taken_pruned = here.taken, here.taken_pruned
    if taken is not None and follow is not Follow.TEXT:
        taken = replace(taken, forced=_was_forced(recorded.taken, own, taken))
    elif taken is not None and recorded.taken is not None:
        taken = replace(taken, forced=recorded.taken.forced)
    if taken_pruned is not None:
        taken_pruned = replace(taken_pruned, forced=_was_forced(recorded.taken_pruned, here.pruned, taken_pruned))
    return replace(here, taken=taken, taken_pruned=taken_pruned)


def _was_forced(recorded: Taken | None, own: Choice | None, taken: Taken) -> bool:
    return (recorded is not None and recorded.forced) or own is None or own.token_id != taken.token_id


def _token(taken: Taken | None) -> int | None:
    return None if taken is None else taken.token_id


def _largest(recorded: StepRecord, here: StepRecord) -> list[Difference]:
    found = [one for one in _differences(recorded, here) if one.size > 0]
    return [max(found, key=lambda one: one.size)] if found else []


def _differences(recorded: StepRecord, here: StepRecord) -> Iterator[Difference]:
    for name, was, found in (("dense", recorded.dense, here.dense), ("pruned", recorded.pruned, here.pruned)):
        ids = (None if was is None else was.token_id, None if found is None else found.token_id)
        if ids[0] != ids[1]:
            yield Difference(here.step, f"{name}.token_id", *ids)
    then, now = _figures(recorded), _figures(here)
    for figure in sorted(then.keys() | now.keys()):
        a, b = then.get(figure), now.get(figure)
        same = a == b or (a is not None and b is not None and math.isnan(a) and math.isnan(b))
        if not same:
            yield Difference(here.step, figure, a, b)


def _figures(record: StepRecord) -> dict[str, float]:
    found: dict[str, float] = {}

    for before, compared in (("", record.own), ("shared.", None if record.same_context else record.shared)):
        if compared is not None:
            for group in ("h", "z", "p"):
                values = getattr(compared, group)
                for field in fields(values):
                    if field.name not in _DERIVED:
                        found[f"{before}{group}.{field.name}"] = getattr(values, field.name)
            for watched in compared.watched.groups if compared.watched else ():
                name = f"{before}watched.{visible(watched.label)}"
                found |= {f"{name}.p": watched.p, f"{name}.q": watched.q}
    return found


def _shown(figure: float | None) -> str:
    return "absent" if figure is None else f"{figure:.6g}"
