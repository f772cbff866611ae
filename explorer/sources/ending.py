"""Why a run can't be stepped any further, in a word and a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probes.schema.events import Why
from probes.schema.settings import Follow

if TYPE_CHECKING:
    from probes.stepping.lockstep import Lockstep


def why_ended(lockstep: Lockstep) -> tuple[Why, str]:
    """Of a lockstep that is finished, and has stepped."""
    last = lockstep.path[-1]
    if lockstep.stuck and last.invalid is not None:
        where = f" from {last.invalid.layer} on" if last.invalid.layer else ""
        model = last.invalid.model
        return Why.INVALID, f"The {model} model computed NaN or infinity{where}: it has no token to offer."
    if lockstep.ended:
        return Why.ENDED, f"The text ended at step {last.step}."
    if lockstep.settings.follow is Follow.TEXT and not lockstep.text_left:
        return Why.ENDED, f"The given text ends at step {last.step}."
    return Why.STEPS, f"The models read no more than this: {last.step} steps after the prompt."
