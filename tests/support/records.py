"""Recordings for tests: whole ones from the scripted source, and random records for property tests."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from explorer.sources.toy.source import ToySource
from explorer.sources.toy.step import Accidents
from probes.recording.lines import encode
from probes.schema.bounds import HUGE, MOST
from probes.schema.events import Event, Explained, StepMeasured
from probes.schema.foreign_text import visible
from probes.schema.record import (
    Choice,
    Comparison,
    GroupFigures,
    HiddenFigures,
    Invalid,
    LogitFigures,
    ProbabilityFigures,
    StepRecord,
    Sums,
    Taken,
    TopToken,
    Watched,
)
from probes.schema.recorded_table import RecordedTable
from probes.schema.requests import Fork, Run, Select
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.watch import parse_watch

PROMPT = "Natalia sold clips to 48 of her friends in April. How many clips did she sell?"
HOSTILE = (
    "</script><img src=x onerror=alert(1)>",
    "\u2028\u2029",
    "<b>&amp;",
    "\x1b[31m\x00\x07",
    "]]>-->",
    "=1+1",
    '"\\',
    "\n\r\t",
    "\u202eabc\ufffd字🌍",
)
"""Tokens of a vocabulary that a page, a table or a terminal must not act upon."""


def settings(follow: Follow = Follow.FREE, *, steps: int = 64, seed: int | None = None) -> RunSettings:
    sampling = Sampling() if seed is None else Sampling(temperature=0.8, seed=seed)
    text = "So she sold 72 clips." if follow is Follow.TEXT else ""
    return RunSettings(PROMPT, follow=follow, text=text, steps=steps, sampling=sampling, top=5)


def recorded_events(
    steps: int = 24,
    *,
    follow: Follow = Follow.FREE,
    setting: str = "wanda:0.5",
    seed: int | None = None,
    accidents: Accidents | None = None,
    fork_at: int | None = None,
    watch: str = "",
) -> list[Event]:
    """The events of one run; with `fork_at`, a branch leaves at that step and has a few steps of its own."""
    events: list[Event] = []
    asked = replace(settings(follow, steps=steps, seed=seed), watch=parse_watch(watch))
    source = ToySource(asked, setting=setting, accidents=accidents)
    source.open(events.append)
    source.ask(Run(("steps=1000",)))
    source.advance(steps)
    if fork_at is not None:
        last = [event.record for event in events if isinstance(event, StepMeasured)][fork_at - 1]
        source.ask(Fork(fork_at, dense=last.own.top[1].token_id if last.own else 7))
        source.advance(4)
        events.append(layers(1, fork_at))
        source.ask(Select(0))
    return events


def layers(run: int, step: int, count: int = 3) -> Explained:
    """Rows as a layer view computes them."""
    figures: list[dict[str, Any]] = [{"layer": n, "h.cos": 1 - n / 10, "p.kl": n * 0.1} for n in range(count)]
    return Explained(run, 0, step, RecordedTable("layers", tuple(figures)))


def records(events: Sequence[Event]) -> list[StepRecord]:
    return [event.record for event in events if isinstance(event, StepMeasured)]


def with_own(record: StepRecord, **groups: object) -> StepRecord:
    """The step with other figures (`h`, `z`, `p`) or another table (`top`) on the models' own contexts."""
    assert record.own is not None
    return replace(record, own=replace(record.own, **groups))  # type: ignore[arg-type]  # groups of a comparison


def lines_of(events: Sequence[Event]) -> list[bytes]:
    """The lines that these events are written as."""
    return [encode(event, 0.0) for event in events]


def of_run(run: int, events: Iterable[Event]) -> list[Event]:
    """The same events in another run."""
    made: list[Any] = [event for event in events if hasattr(event, "run")]
    return [replace(event, run=run) for event in made]


def write_events(path: Path, events: Sequence[Event], *, every: float = 0.5) -> Path:
    """A recording of these events, `every` seconds apart."""
    path.write_bytes(b"".join(encode(event, index * every) for index, event in enumerate(events)))
    return path


def _within(low: float, high: float) -> st.SearchStrategy[float]:
    """Any figure of that range, and what is not finite."""
    return st.floats(low, high) | st.sampled_from((math.inf, -math.inf, math.nan))


FIGURES, AMOUNTS, SHARES, COSINES = _within(-HUGE, HUGE), _within(0, HUGE), _within(0, 1), _within(-1, 1)
INTS, PLACES = st.integers(0, MOST), st.integers(1, MOST)
TEXTS = st.text(max_size=8) | st.sampled_from(HOSTILE)
_H = st.builds(HiddenFigures, COSINES, _within(0, 180), *[AMOUNTS] * 4)
_Z = st.builds(LogitFigures, COSINES, COSINES, *[AMOUNTS] * 8)
_P = st.builds(ProbabilityFigures, *[AMOUNTS] * 3, SHARES, COSINES, *[AMOUNTS] * 4, PLACES, PLACES, SHARES)
_CHOICE = st.builds(Choice, INTS, TEXTS, SHARES, SHARES)
_TAKEN = st.builds(Taken, INTS, TEXTS, SHARES, SHARES, TEXTS, st.booleans(), st.booleans())
_TOP = st.lists(
    st.builds(TopToken, INTS, TEXTS, SHARES, SHARES, FIGURES, FIGURES, PLACES, PLACES, FIGURES), max_size=3
).map(tuple)
_WATCHED = st.builds(
    Watched,
    st.lists(
        st.builds(GroupFigures, TEXTS, st.lists(INTS, max_size=3).map(tuple), *[SHARES] * 4, PLACES, PLACES), max_size=3
    ).map(tuple),
    SHARES,
    SHARES,
    st.none() | AMOUNTS,
    st.none() | AMOUNTS,
    st.none() | COSINES,
)
_COMPARISON = st.builds(Comparison, _H, _Z, _P, _TOP, st.none() | _WATCHED)
RECORDS = st.builds(
    StepRecord,
    step=PLACES,
    dense=st.none() | _CHOICE,
    pruned=st.none() | _CHOICE,
    taken=st.none() | _TAKEN,
    taken_pruned=st.none() | _TAKEN,
    same_context=st.booleans(),
    agree=st.none() | st.booleans(),
    own=st.none() | _COMPARISON,
    shared=st.none() | _COMPARISON,
    sum=st.builds(Sums, AMOUNTS, AMOUNTS, FIGURES, SHARES, SHARES, st.none() | PLACES, st.none() | AMOUNTS),
    invalid=st.none() | st.builds(Invalid, st.sampled_from(("dense", "pruned")), TEXTS.map(visible)),
    tied=st.sampled_from(((), ("dense",), ("pruned",), ("dense", "pruned"))),
).filter(lambda record: (record.sum.first_split or 1) <= record.step)
"""Any record within the bounds of a recording; nothing in it need agree with anything else."""
