"""A pair of tiny models for a live source, and a listener that waits for events."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from probes.models.prompting import Prompt
from probes.schema.events import (
    Event,
    StepMeasured,
)
from probes.schema.header import ModelInfo, RunHeader
from probes.schema.prune_setting import Ratio, Setting, parse
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings
from probes.schema.watch import WatchedIds
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

E = TypeVar("E")


INFO = ModelInfo("tiny", "tiny", "", "", "Tiny", 3, 32, 128, 1000, "float32", "cpu")

NOTHING, HALF, SLOW = parse("dense"), parse("magnitude:0.5"), parse("sparsegpt:0.9")
"""Settings of a `TinyPair`: a copy of the dense model, noise of 0.5, and one that goes on until it is cancelled."""


class TinyPair:
    """As much of a pair as a source asks for, on tiny models."""

    twin = None

    def __init__(self, noise: float = 0.3) -> None:
        self.dense = tiny("llama")
        self.pruned = damaged(self.dense, noise)
        self.made_by = str(noise)

    def close(self) -> None:
        return

    def prompt(self, settings: RunSettings) -> Prompt:
        return Prompt(settings.prompt, tuple(PROMPT) if settings.prompt else ())

    def recorded_prompt(self, header: RunHeader) -> Prompt:
        return Prompt(header.prompt_text, header.prompt_ids or tuple(PROMPT))

    def lockstep(self, settings: RunSettings, prompt: Prompt | None = None) -> Lockstep:
        ids = (prompt or self.prompt(settings)).ids
        watched = [WatchedIds(group.label, tuple(map(int, group.forms))) for group in settings.watch]
        return Lockstep(self.dense, self.pruned, Words(), ids, settings, watched=watched)

    def header(self, settings: RunSettings, prompt: Prompt) -> RunHeader:
        return RunHeader(INFO, INFO, None, settings, prompt.text, prompt.ids)

    def repruned(self, setting: Setting, work: Work) -> TinyPair:
        while setting == SLOW:
            work.report("Calibrating", 1, 2)
            time.sleep(0.005)
        amount = setting.parts[0].amount
        return TinyPair(amount.value if isinstance(amount, Ratio) else 0.0)


class Listener:
    """Keeps every event and waits for those a test is after."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._arrived = threading.Condition()

    def __call__(self, event: Event) -> None:
        with self._arrived:
            self.events.append(event)
            self._arrived.notify_all()

    def of(self, kind: type[E]) -> list[E]:
        return [event for event in self.events if isinstance(event, kind)]

    def wait(self, kind: type[E], count: int = 1) -> E:
        with self._arrived:
            arrived = self._arrived.wait_for(lambda: len(self.of(kind)) >= count, timeout=20)
        assert arrived, f"no {count} × {kind.__name__} in {[type(event).__name__ for event in self.events]}"
        return self.of(kind)[count - 1]

    def wait_for(self, done: Callable[[], bool], what: str) -> None:
        with self._arrived:
            assert self._arrived.wait_for(done, timeout=20), f"never: {what}"

    def steps(self) -> list[StepRecord]:
        return [event.record for event in self.of(StepMeasured)]


SETTINGS = RunSettings("go", follow=Follow.FREE, steps=12)


def expected(count: int) -> list[StepRecord]:
    with TinyPair().lockstep(SETTINGS) as lockstep:
        return [lockstep.step() for _ in range(count)]
