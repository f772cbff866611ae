"""A line says what its event said, whatever the models computed and wrote."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.recording import upgrade
from probes.recording.lines import Line, Unknown, Unreadable, decode, encode
from probes.recording.upgrade import FORMAT
from probes.schema.bounds import LONGEST_TOKEN
from probes.schema.branches import Branch
from probes.schema.conversation import TemplateArg, Turn
from probes.schema.errors import FailureKind
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Event,
    Explained,
    Failed,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.explanation import Layers
from probes.schema.findings import Finding
from probes.schema.foreign_text import visible
from probes.schema.fork_verdict import ForkedRun, ForkVerdict, Recovery
from probes.schema.record import Invalid, StepRecord
from probes.schema.recorded_table import Cell, RecordedTable
from probes.schema.until import Met
from probes.schema.watch import WatchedGroup
from tests.support.findings import FINDINGS
from tests.support.records import FIGURES, RECORDS, TEXTS, recorded_events, records, with_own

SHOWN = TEXTS.map(visible)


def through(event: Event) -> Event:
    raw = encode(event, 2.5)
    assert raw.endswith(b"\n")
    assert raw.count(b"\n") == 1
    found, version = decode(raw, FORMAT)
    assert isinstance(found, Line)
    assert (found.at, version) == (2.5, FORMAT)
    return found.event


@settings(max_examples=120, deadline=None)
@given(RECORDS)
def test_any_record_comes_back_as_it_was(record: StepRecord) -> None:
    back = through(StepMeasured(3, 1, record, 0.25))
    # repr, because nan is not equal to itself; -0.0 and every digit are told apart as well
    assert repr(back) == repr(StepMeasured(3, 1, record, 0.25))


@settings(max_examples=60, deadline=None)
@given(RECORDS)
def test_a_step_read_without_tables_lacks_nothing_else(record: StepRecord) -> None:
    line, _ = decode(encode(StepMeasured(3, 1, record, 0.25), 0.0), FORMAT, tables=False)
    own, shared = (found and replace(found, top=()) for found in (record.own, record.shared))
    expected = StepMeasured(3, 1, replace(record, own=own, shared=shared), 0.25)
    assert repr(line) == repr(Line(0.0, expected))


def test_a_table_of_other_things_is_passed_over_only_by_readers_without_tables() -> None:
    raw = encode(StepMeasured(1, 0, records(recorded_events(1))[0]), 0.0)
    plain = json.loads(raw)
    other = json.dumps({**plain, "top": [{"token_id": "seven"}]}, separators=(",", ":")).encode()
    assert decode(other, FORMAT, tables=False) == decode(raw, FORMAT, tables=False)
    for tables, damaged in ((True, other), (False, other.replace(b'"seven"', b"seven"))):
        with pytest.raises(Unreadable):
            decode(damaged, FORMAT, tables=tables)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(SHOWN, st.none() | st.booleans() | FIGURES | st.integers(-(2**63), 2**63 - 1) | SHOWN))
def test_any_explanation_comes_back_as_it_was(row: dict[str, Cell]) -> None:
    event = Explained(1, 2, 3, RecordedTable("heal", ({"layer": 0}, row)), through=9)
    assert repr(through(event)) == repr(event)


@settings(max_examples=80, deadline=None)
@given(FINDINGS, st.none() | st.integers(4, 9), st.lists(SHOWN, max_size=2).map(tuple))
def test_any_finding_comes_back_as_it_was(found: Finding, last: int | None, notes: tuple[str, ...]) -> None:
    event = Explained(1, 2, 3, found, last, "matrix", notes=notes)
    assert repr(through(event)) == repr(event)


def test_watched_tokens_come_back_as_they_were() -> None:
    """They are data: a control character in one is not replaced by a mark."""
    [start] = [event for event in recorded_events(1) if isinstance(event, RunStarted)]
    watch = (WatchedGroup("\n", ("\n", 7)), WatchedGroup("↵", ("\x1b[31m", "<b>")))
    event = replace(start, header=replace(start.header, settings=replace(start.header.settings, watch=watch)))
    assert through(event) == event


def test_a_conversation_comes_back_as_it_was() -> None:
    [start] = [event for event in recorded_events(1) if isinstance(event, RunStarted)]
    said = replace(
        start.header.settings,
        raw=False,
        turns=(Turn("system", "\x1b[31m" + "long " * 1000), Turn("user", "a\nb")),
        begun=" so\t",
        template_args=(TemplateArg("enable_thinking", False), TemplateArg("budget", 0.5), TemplateArg("day", "\n")),
    )
    event = replace(start, header=replace(start.header, settings=said))
    assert through(event) == event


def test_a_header_of_before_conversations_has_a_prompt_alone() -> None:
    [start] = [event for event in recorded_events(1) if isinstance(event, RunStarted)]
    plain = json.loads(encode(start, 0.0))
    for name in ("turns", "begun", "template_args"):
        del plain["header"]["settings"][name]
    line, _ = decode(json.dumps(plain).encode(), FORMAT)
    assert isinstance(line, Line)
    assert line.event == start


def test_a_header_of_before_tokens_could_be_watched_watches_none() -> None:
    [start] = [event for event in recorded_events(1) if isinstance(event, RunStarted)]
    plain = json.loads(encode(start, 0.0))
    assert plain["header"]["settings"].pop("watch") == []
    found, _ = decode(json.dumps(plain).encode(), FORMAT)
    assert isinstance(found, Line)
    assert found.event == start


def test_a_finding_that_is_not_final_is_not_recorded() -> None:
    assert encode(Explained(1, 0, 3, Layers(()), final=False), 0.0) == b""


def test_the_text_of_a_finding_is_never_too_long_to_be_read_again() -> None:
    run = ForkedRun("x" * 9000, 1, 1.0, 0.0, 0.0, False, "y" * 9000, Recovery.DRIFTS)
    event = through(Explained(1, 0, 3, ForkVerdict(run, run, 0.9, 0.1)))
    assert isinstance(event, Explained)
    assert isinstance(event.found, ForkVerdict)
    assert len(event.found.dense_into_pruned.text) == LONGEST_TOKEN


@pytest.mark.parametrize(
    "change",
    [
        {"what": "aura"},
        {"what": "\x1b[31m"},
        {"found": []},
        {"found": {}},
        {"found": {"rows": [{}]}},
        {"found": {"rows": [[]] * 20_000}},
        {"found": {"rows": [], "more": [0] * 20_000}},
        {"found": {"rows": [], "more": [[0] * 900] * 900}},
        {"found": {"rows": [], "more": 1e300}},
        {"found": {"rows": [], "more": 10**40}},
        {"nonfinite": {"rows": "inf"}},
        {"nonfinite": {"rows.0": "inf"}},
        {"nonfinite": {"rows.0.layer": "inf"}},
        {"nonfinite": {"rows.-1.p": "inf"}},
        {"nonfinite": {"": "inf"}},
        {"nonfinite": {"more": "1.5"}, "found": {"rows": [], "more": None}},
        {"nonfinite": {"more": "much"}, "found": {"rows": [], "more": None}},
        {"step": -1},
        {"through": 0},
        {"notes": ["x"] * 101},
        {"notes": "x"},
    ],
    ids=lambda change: repr(change)[:40],
)
def test_a_line_that_is_no_finding_is_unreadable_and_nothing_worse(change: dict[str, Any]) -> None:
    plain = json.loads(encode(Explained(1, 0, 3, Layers(())), 0.0))
    decode(json.dumps(plain).encode(), FORMAT)
    changed = json.dumps(plain | change).encode()
    if change.get("nonfinite") == {"more": "1.5"}:
        found, _ = decode(changed, FORMAT)  # a figure of a later version
        assert isinstance(found, Line)
        return
    with pytest.raises(Unreadable):
        decode(changed, FORMAT)


@pytest.mark.parametrize(
    "event",
    [
        recorded_events(1)[0],
        BranchOpened(1, Branch(2, 0, 5, dense=7, label='"x" forced at 5')),
        BranchSelected(1, 0),
        RunResumed(1, ("kl>2", "split")),
        RunPaused(1, Why.UNTIL, 14, met=Met("kl>2", 14, value=2.31)),
        RunPaused(1, Why.UNTIL, 14, met=Met("kl>2", 14, value=math.inf)),
        RunPaused(1, Why.UNTIL, 3, met=Met("split", 3, tokens=(" a", "\\n"))),
        RunPaused(1, Why.STEPS, 16, more=12, left=3),
        RunPaused(1, Why.INVALID, 4, invalid=Invalid("pruned", "model.layers.3")),
        RunPaused(1, Why.CONTINUED, 2, said="2 steps measured again."),
        Failed("Out of memory", "It takes 3 GB more.", "Use bfloat16."),
        Failed("Cancelled", "Pruning was cancelled.", kind=FailureKind.CANCELLED),
    ],
    ids=lambda event: type(event).__name__,
)
def test_every_other_event_comes_back_as_it_was(event: Event) -> None:
    assert through(event) == event


def test_the_progress_of_slow_work_is_not_recorded() -> None:
    assert encode(WorkProgressed("Loading"), 0.0) == b""


def test_a_line_is_plain_json_that_names_its_kind_first() -> None:
    raw = encode(recorded_events(1)[2], 1.0)
    assert raw.startswith(b'{"kind":"step",')
    plain = json.loads(raw, parse_constant=pytest.fail)
    assert {"run", "branch", "seconds", "at", "step", "dense", "pruned", "h", "z", "p", "sum", "top"} <= set(plain)


def test_half_a_surrogate_pair_is_recorded_as_a_replacement_character() -> None:
    record = records(recorded_events(1))[0]
    assert record.dense is not None
    odd = replace(record, dense=replace(record.dense, token="a\ud83d"))
    back = through(StepMeasured(1, 0, odd))
    assert isinstance(back, StepMeasured)
    assert back.record.dense == replace(record.dense, token="a\ufffd")


def test_an_unknown_key_is_passed_over_and_an_unknown_kind_is_named() -> None:
    event = recorded_events(1)[2]
    plain = json.loads(encode(event, 0.0)) | {"colour": [{"of": "magic"}]}
    plain["p"]["renyi"] = 0.5
    found, _ = decode(json.dumps(plain).encode(), FORMAT)
    assert isinstance(found, Line)
    assert found.event == event
    assert decode(b'{"kind":"aura","run":1,"colours":{"deep":[1]}}', FORMAT) == (Unknown("aura"), FORMAT)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'{"kind":7}',
        b'{"kind":"step"}',
        b'{"kind":"step","run":1,"branch":0,"step":1}',
        b'{"kind":"header","format":1,"run":1,"header":{}}',
        b'{"kind":"header","format":1e400}',
        b'{"kind":"header","format":' + b"9" * 5000 + b"}",
        b'{"kind":"paused","run":1,"why":"boredom"}',
        b'{"kind":"explained","run":1,"branch":0,"step":1,"what":"x","rows":[],"nonfinite":{"rows.9.a":"inf"}}',
        b'{"kind":"explained","run":1,"branch":0,"step":1,"what":"x","rows":[{}],"nonfinite":{"x":"inf"}}',
        b'{"kind":"aura","deep":' + b"[" * 100_000,
        b'{"kind":"step","deep":' + b'{"a":' * 100_000,
        b"\xff\xfe",
        b"\x00" * 100,
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_no_line_is_unreadable_and_nothing_worse(raw: bytes) -> None:
    with pytest.raises(Unreadable):
        decode(raw, FORMAT)


def test_settings_that_no_run_can_have_make_a_header_unreadable() -> None:
    plain = json.loads(encode(recorded_events(1)[0], 0.0))
    plain["header"]["settings"]["sampling"]["temperature"] = -1.0
    with pytest.raises(Unreadable, match="temperature"):
        decode(json.dumps(plain).encode(), FORMAT)


def test_a_line_of_an_older_format_is_upgraded(monkeypatch: pytest.MonkeyPatch) -> None:
    def renamed(line: dict[str, Any]) -> dict[str, Any]:
        return {**line, "branch": line["path"]}

    monkeypatch.setattr(upgrade, "UPGRADES", {FORMAT - 1: renamed})
    found, version = decode(b'{"kind":"selected","run":1,"path":4}', FORMAT - 1)
    assert found == Line(0.0, BranchSelected(1, 4))
    assert version == FORMAT - 1


def test_a_format_without_an_upgrade_is_unreadable() -> None:
    with pytest.raises(Unreadable):
        decode(b'{"kind":"selected","run":1,"branch":4}', 0)


def test_infinite_and_undefined_figures_are_null_in_the_file_and_named() -> None:
    record = records(recorded_events(1))[0]
    assert record.own is not None
    odd = with_own(record, p=replace(record.own.p, kl=math.inf))
    plain = json.loads(encode(StepMeasured(1, 0, odd), 0.0), parse_constant=pytest.fail)
    assert plain["p"]["kl"] is None
    assert plain["nonfinite"] == {"p.kl": "inf"}
