"""Why a run can't be stepped any further."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.schema.events import RunPaused, Why
from probes.schema.settings import Follow

if TYPE_CHECKING:
    from probes.stepping.lockstep import Lockstep


def why_ended(lockstep: Lockstep) -> RunPaused:
    """The pause of a finished lockstep that has stepped. The caller fills in the run and the request."""
    last = lockstep.path[-1]
    if lockstep.stuck and last.invalid is not None:
        return RunPaused(0, Why.INVALID, last.step, invalid=last.invalid)
    if lockstep.ended:
        return RunPaused(0, Why.ENDED, last.step)
    if lockstep.settings.follow is Follow.TEXT and not lockstep.text_left:
        return RunPaused(0, Why.TEXT, last.step)
    return RunPaused(0, Why.CONTEXT, last.step)
