"""The ways in which a lockstep can compute its two passes here, each to be timed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial

from transformers import PreTrainedModel

from probes.schema.errors import BadInput
from probes.schema.settings import RunSettings
from probes.schema.spec import OverlapMode
from probes.stepping.lockstep import Lockstep, Tokens
from probes.stepping.overlap import choose_overlap

Opened = Callable[[RunSettings], AbstractContextManager[Lockstep]]
"""Opens both models on one prompt, in one way of computing their passes."""


def ways_of(
    models: tuple[PreTrainedModel, PreTrainedModel], tokens: Tokens, prompt_ids: Sequence[int]
) -> dict[str, Opened]:
    """Those that are possible here, by name: one pass after the other, in two threads, in two processes."""
    found: dict[str, Opened] = {}
    for mode in (OverlapMode.NONE, OverlapMode.THREADS, OverlapMode.PROCESS):
        try:
            choose_overlap(*models, mode).close()
        except BadInput:
            continue
        found[str(mode)] = partial(_opened, models, tokens, prompt_ids, mode)
    return found


@contextmanager
def _opened(
    models: tuple[PreTrainedModel, PreTrainedModel],
    tokens: Tokens,
    prompt_ids: Sequence[int],
    mode: OverlapMode,
    settings: RunSettings,
) -> Iterator[Lockstep]:
    overlap = choose_overlap(*models, mode)
    try:
        with Lockstep(*overlap.models(*models), tokens, prompt_ids, settings) as lockstep:
            yield lockstep
    finally:
        overlap.close()
