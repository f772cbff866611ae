"""Reads --at and --span, and steps a run as far as they say."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from probes.schema.errors import BadInput, Failure

if TYPE_CHECKING:
    from probes.schema.record import StepRecord
    from probes.stepping.lockstep import Lockstep

_SPAN = re.compile(r"([0-9]{1,9}):([0-9]{1,9})")


def steps_asked(at: int | None, span: str) -> range | None:
    """The steps that were asked for; None takes the first split. Raises `BadInput` if they can't be."""
    if at is not None and span:
        raise BadInput("Steps", "--at names one step and --span several.", "Give one of them.")
    if at is not None:
        if at < 1:
            raise BadInput("No such step", f"Step {at} is not there: steps count from 1.", "Choose another one.")
        return range(at, at + 1)
    if not span:
        return None
    read = _SPAN.fullmatch(span)
    if read is None or int(read[1]) < 1:
        raise BadInput("Span", f"{span!r} is no span of steps.", "Write the first and the last one: 3:10.")
    if int(read[2]) < int(read[1]):
        raise BadInput("Span", f"The span {span} has no steps.", "Write the earlier step first: 3:10.")
    return range(int(read[1]), int(read[2]) + 1)


def reached(lockstep: Lockstep, steps: range | None) -> range:
    """Steps as far as the last of these, or to the first step that splits or is not finite.

    Raises `BadInput` if there is none, `Failure` if the dense model computes NaN or infinity before it.
    """
    last = steps[-1] if steps else lockstep.settings.longest
    record: StepRecord | None = None
    while not lockstep.finished and len(lockstep.path) < last:
        record = lockstep.step()
        if steps is None and (record.split or record.invalid):
            return range(record.step, record.step + 1)
    if steps is None:
        there = len(lockstep.path)
        message = f"Both models choose the same tokens in all {there} steps."
        raise BadInput("No split", message, "Name a step with --at, or step further with --steps.")
    if record and record.invalid and record.step < last:
        what = f"The {record.invalid.model} model computes NaN or infinity, first in {record.invalid.layer}"
        raise Failure("Not finite", f"{what}, so the run ends at step {record.step}.", "Choose an earlier step.")
    return steps
