"""The ways in which a lockstep can compute its two passes here, each to be timed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from transformers import PreTrainedModel

from probes.schema.settings import RunSettings
from probes.stepping.lockstep import Lockstep, Tokens


def ways_of(
    models: tuple[PreTrainedModel, PreTrainedModel], tokens: Tokens, prompt_ids: Sequence[int]
) -> dict[str, Callable[[RunSettings], Lockstep]]:
    """By name: `none` is one pass after the other."""

    def one_after_the_other(settings: RunSettings) -> Lockstep:
        return Lockstep(*models, tokens, prompt_ids, settings)

    return {"none": one_after_the_other}
