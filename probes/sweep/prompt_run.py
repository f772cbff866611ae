"""Steps both models on a prompt, as `phier run` does, into the lines of a recording."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

from probes.pair import Pair
from probes.recording.lines import encode
from probes.schema.events import Event, RunPaused, RunResumed, RunStarted, StepMeasured, Why
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.sweep import PromptTask
from probes.stepping.ending import why_ended
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work
from probes.tasks.dense_side import DenseSide
from probes.tasks.remembered_model import RememberedModel

STEPPING = "Stepping"
"""The name of this work."""


def prompt_settings(prompt: PromptTask) -> RunSettings:
    """The settings of the run of a prompt."""
    return RunSettings(
        prompt.prompt, raw=prompt.raw, follow=prompt.follow, steps=prompt.steps, sampling=prompt.sampling
    )


def run_prompt(
    pair: Pair, prompt: PromptTask, work: Work = UNWATCHED, side: DenseSide | None = None
) -> tuple[tuple[bytes, ...], tuple[StepRecord, ...], tuple[str, ...]]:
    """The lines of a recording, the steps, and the notes of a run. `side` has answers of the dense model and gets more,
    unless it reads what the pruned one wrote.

    Raises `Cancelled` between two steps, and `BadInput` if the prompt can't be used.
    """
    settings = prompt_settings(prompt)
    tokens = pair.prompt(settings)
    header = pair.header(settings, tokens)
    begun = time.perf_counter()
    remembered = side if prompt.follow is not Follow.PRUNED else None
    dense = RememberedModel(pair.dense.model, remembered) if remembered is not None else None
    with pair.lockstep(settings, tokens, dense=dense) as lockstep:
        lines = tuple(encode(event, time.perf_counter() - begun) for event in _events(lockstep, header, work))
        path = tuple(lockstep.path)
    return lines, path, (*header.every_warning, *header.every_note)


def _events(lockstep: Lockstep, header: RunHeader, work: Work) -> Iterator[Event]:
    yield RunStarted(1, header)
    yield RunResumed(1)
    longest = lockstep.settings.longest
    while not lockstep.finished and len(lockstep.path) < longest:
        work.report(STEPPING, len(lockstep.path), longest, "tokens")
        begun = time.perf_counter()
        record = lockstep.step()
        yield StepMeasured(1, 0, record, time.perf_counter() - begun)
    ended = why_ended(lockstep) if lockstep.finished else RunPaused(1, Why.STEPS, len(lockstep.path))
    yield replace(ended, run=1)
