"""Recordings are set side by side on the steps they share, and what can't be compared is said first."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from explorer.cli.comparison_table import compared_object, print_compared
from explorer.recordings.comparison import ComparisonRow, compare_recordings
from explorer.sources.toy.step import Accidents
from explorer.words.summary_figures import SUMMARY_FIGURES
from probes.schema.errors import BadInput
from probes.schema.events import Event, RunStarted, StepMeasured
from probes.schema.explanation import Swaps
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, Sampling
from probes.schema.summary import summarise
from tests.support.findings import sample_findings
from tests.support.records import recorded_events, records, write_events


def recorded(folder: Path, name: str, setting: str = "wanda:0.5", **asked: Any) -> Path:
    return write_events(folder / f"{name}.jsonl", recorded_events(24, setting=setting, **asked))  # type: ignore[arg-type]  # passed on as given


def with_header(events: list[Event], **changed: Any) -> list[Event]:
    return [
        replace(event, header=replace(event.header, **changed)) if isinstance(event, RunStarted) else event  # type: ignore[arg-type]  # any field
        for event in events
    ]


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [recorded(tmp_path, "a", "wanda:0.2"), recorded(tmp_path, "b", "wanda:0.9")]


def test_every_figure_is_the_summary_of_the_steps_all_have(tmp_path: Path) -> None:
    long, short = recorded_events(30, setting="wanda:0.3"), recorded_events(12, setting="wanda:0.6")
    found = compare_recordings([write_events(tmp_path / "a.jsonl", long), write_events(tmp_path / "b.jsonl", short)])
    assert found.common == 12
    assert found.entries[0].summary == summarise(records(long)[:12])
    assert found.entries[1].summary == summarise(records(short))
    rows = {row.figure.label: row for row in found.rows}
    assert rows["steps"].values == (30, 12)
    sums = [summarise(records(events)[:12]).kl_shared_sum for events in (long, short)]
    assert rows["ΣKL, shared context"].values == tuple(sums)
    assert rows["ΣKL, shared context"].differences == (0.0, sums[1] - sums[0])
    assert any("first 12 steps" in note for note in found.notes)


def stopped(events: list[Event], after: int) -> list[Event]:
    """The same run, had the pruned text ended after that step: from there on only the shared context compares."""

    def alone(record: StepRecord) -> StepRecord:
        ended = replace(record, pruned=None, taken_pruned=None, same_context=False, agree=None)
        return replace(ended, same_context=False, own=None, shared=record.shared)

    return [
        replace(e, record=alone(e.record)) if isinstance(e, StepMeasured) and e.record.step > after else e
        for e in events
    ]


def test_what_needs_both_models_writing_is_over_the_steps_at_which_both_do_in_all(tmp_path: Path) -> None:
    whole, short = recorded_events(24, setting="wanda:0.3"), stopped(recorded_events(24, setting="wanda:0.6"), 7)
    found = compare_recordings([write_events(tmp_path / "a.jsonl", whole), write_events(tmp_path / "b.jsonl", short)])
    assert (found.common, found.shared, found.both) == (24, 24, 7)
    rows = {row.figure.label: row for row in found.rows}
    assert rows["steps"].values == (24, 24)
    assert rows["steps compared"].values == (24, 7)
    first = [summarise(records(events)[:7]) for events in (whole, short)]
    for name, values in (
        ("ΣKL, own contexts", [s.kl_sum for s in first]),
        ("drift", [s.drift for s in first]),
        ("same top-1", [s.agree_rate for s in first]),
        ("longest run", [s.longest_agreement for s in first]),
    ):
        assert (rows[name].values, rows[name].over) == (tuple(values), 7), name
        assert found.marked(rows[name])
    every = [summarise(records(events)) for events in (whole, short)]
    for name, values in (
        ("ΣKL, shared context", [s.kl_shared_sum for s in every]),
        ("survival", [s.survival for s in every]),
        ("log ratio", [s.log_ratio for s in every]),
    ):
        assert (rows[name].values, rows[name].over) == (tuple(values), 24), name
        assert not found.marked(rows[name])
    [note] = found.notes
    assert note == (
        "Both models generate at 24 steps in wanda:0.3, 7 steps in wanda:0.6: rows marked * are over the 7 steps that "
        "all of them share."
    )


def test_figures_leave_out_what_one_of_them_could_not_compare(tmp_path: Path) -> None:
    broken = recorded(tmp_path, "a", accidents=Accidents(invalid=9))
    sound = recorded(tmp_path, "b", "wanda:0.2")
    found = compare_recordings([broken, sound])
    steps = found.entries[0].summary.steps
    assert (found.common, found.shared) == (steps, steps - 1)
    rows = {row.figure.label: row for row in found.rows}
    kept = [record for record in found.entries[1].records[:steps] if record.step != 9]
    assert rows["ΣKL, shared context"].values[1] == summarise(kept).kl_shared_sum
    assert f"{steps - 1} of the first {steps} steps" in " ".join(found.notes)
    assert found.span == f"{steps} steps, {steps - 1} of them"


def test_figures_over_no_step_at_all_are_missing(tmp_path: Path) -> None:
    whole, none = recorded_events(8, setting="wanda:0.3"), stopped(recorded_events(8), 0)
    found = compare_recordings([write_events(tmp_path / "a.jsonl", whole), write_events(tmp_path / "b.jsonl", none)])
    rows = {row.figure.label: row for row in found.rows}
    assert rows["ΣKL, own contexts"].values == rows["same top-1"].values == (None, None)
    assert "rows marked * are empty" in found.notes[-1]


def test_the_table_and_the_object_say_over_how_many_steps_a_figure_is(tmp_path: Path) -> None:
    paths = [
        write_events(tmp_path / "a.jsonl", recorded_events(24, setting="wanda:0.3")),
        write_events(tmp_path / "b.jsonl", stopped(recorded_events(24, setting="wanda:0.6"), 7)),
    ]
    found = compare_recordings(paths)
    console = Console(width=120, record=True, file=StringIO())
    print_compared(found, console)
    text = console.export_text()
    for words in (
        "over 24 steps",
        "steps compared",
        "ΣKL, own contexts * [nat]",
        "same top-1 *",
        "the 7 steps",
    ):
        assert words in text
    assert "ΣKL, shared context [nat]" in text
    plain = json.loads(json.dumps(compared_object(found), allow_nan=False))
    over = {row["name"]: row["over"] for row in plain["rows"]}
    assert (over["ΣKL, own contexts"], over["ΣKL, shared context"], over["steps"]) == (7, 24, None)
    assert [one["steps_compared"] for one in plain["recordings"]] == [24, 7]
    assert plain["notes"] == list(found.notes)


def test_differences_of_infinite_or_missing_figures_are_not_numbers() -> None:
    row = ComparisonRow(SUMMARY_FIGURES["drift"], (math.inf, math.inf, 1.0, None))
    assert row.differences == (0.0, 0.0, -math.inf, None)
    assert ComparisonRow(SUMMARY_FIGURES["drift"], (None, 1.0)).differences == (None, None)


def test_watched_tokens_are_compared_if_all_watch_the_same(tmp_path: Path) -> None:
    same = [
        recorded(tmp_path, name, setting, watch="#1 | #2") for name, setting in (("a", "wanda:0.2"), ("b", "wanda:0.9"))
    ]
    other = recorded(tmp_path, "c", watch="#1 | #3")
    rows = {row.figure.key: row.values for row in compare_recordings(same).rows}
    kls = [
        summarise(records(recorded_events(24, setting=setting, watch="#1 | #2"))).watched_kl
        for setting in ("wanda:0.2", "wanda:0.9")
    ]
    assert rows["watched_kl"] == tuple(kls)
    assert "watched_agree_rate" in rows
    found = compare_recordings([same[0], other])
    assert "watched_kl" not in {row.figure.key for row in found.rows}
    assert any("other tokens" in note for note in found.notes)


def test_the_first_step_at_which_texts_part_is_found(two: list[Path]) -> None:
    found = compare_recordings(two)
    for text in found.texts:
        assert len(text.tokens) == 24
        diverged = [step for step, (a, b) in enumerate(text.tokens, 1) if a is not None and b is not None and a != b]
        assert text.diverges_at == (diverged[0] if diverged else None)
    dense, pruned = found.texts
    assert dense.diverges_at is None
    assert pruned.diverges_at is not None


def test_the_same_recording_twice_differs_in_nothing(two: list[Path]) -> None:
    found = compare_recordings([two[0], two[0]])
    assert all(difference in (0.0, None) for row in found.rows for difference in row.differences)
    assert found.warnings == found.notes == ()
    assert [text.diverges_at for text in found.texts] == [None, None]
    assert len({entry.label for entry in found.entries}) == 2


def test_labels_say_no_more_than_tells_the_entries_apart(tmp_path: Path) -> None:
    a, b = recorded(tmp_path, "a", seed=1), recorded(tmp_path, "b", seed=2)
    assert [entry.label for entry in compare_recordings([a, b]).entries] == [
        "wanda:0.5 · T 0.8 seed 1",
        "wanda:0.5 · T 0.8 seed 2",
    ]
    c = recorded(tmp_path, "c", follow=Follow.DENSE)
    d = recorded(tmp_path, "d")
    assert [entry.label for entry in compare_recordings([c, d]).entries] == ["wanda:0.5 · dense", "wanda:0.5 · free"]


def labels(folder: Path, *named: str) -> list[str]:
    """The labels of recordings of one setting in files of these names."""
    return [entry.label for entry in compare_recordings([recorded(folder, name) for name in named]).entries]


def test_of_one_setting_the_part_of_the_name_that_differs_is_said(tmp_path: Path) -> None:
    stem = "SmolLM2-135M-Instruct_wanda-0.5_free"
    times = (f"2026-03-01_09-05-07_{stem}", f"2026-03-01_10-00-00_{stem}")
    assert labels(tmp_path, *times) == ["wanda:0.5 · 09-05-07", "wanda:0.5 · 10-00-00"]
    days = (f"2026-03-01_09-05-07_{stem}", f"2026-03-02_10-00-00_{stem}")
    assert labels(tmp_path, *days) == ["wanda:0.5 · 2026-03-01", "wanda:0.5 · 2026-03-02"]
    assert labels(tmp_path, stem, f"{stem}_2") == ["wanda:0.5", "wanda:0.5 · 2"]
    mixed = ("1_a", "1_b", "2_a")
    assert labels(tmp_path, *mixed) == ["wanda:0.5 · 1 a", "wanda:0.5 · 1 b", "wanda:0.5 · 2 a"]


def test_only_labels_that_clash_say_more(tmp_path: Path) -> None:
    paths = [recorded(tmp_path, "first"), recorded(tmp_path, "second"), recorded(tmp_path, "other", "magnitude:0.3")]
    assert [entry.label for entry in compare_recordings(paths).entries] == [
        "wanda:0.5 · first",
        "wanda:0.5 · second",
        "magnitude:0.3",
    ]


def test_a_file_that_is_there_twice_is_numbered(tmp_path: Path) -> None:
    a, b = recorded(tmp_path, "a"), recorded(tmp_path, "b", "wanda:0.2")
    assert [entry.label for entry in compare_recordings([a, b, a]).entries] == [
        "wanda:0.5 (1)",
        "wanda:0.2",
        "wanda:0.5 (3)",
    ]


def test_nothing_is_compared_with_a_header_that_is_lost(tmp_path: Path) -> None:
    sound = [recorded(tmp_path, "a", seed=1), recorded(tmp_path, "b", seed=2, follow=Follow.DENSE)]
    lost = write_events(tmp_path / "lost.jsonl", recorded_events(24)[1:])
    for place in range(3):
        found = compare_recordings([*sound[:place], lost, *sound[place:]])
        assert found.entries[place].label == "lost"
        assert found.warnings == ()
        assert [note for note in found.notes if "lost" in note] == [
            "lost.jsonl: The header can't be read, so the models are not known."
        ]
        assert not any("unknown" in note for note in found.notes)
        assert any(note.startswith("Contexts differ: free in") for note in found.notes), "of those that are known"
    alone = compare_recordings([lost, sound[0]])
    assert (len(alone.notes), alone.warnings) == (1, ())


def test_another_prompt_is_warned_of_where_it_begins(tmp_path: Path) -> None:
    events = recorded_events(8)
    a = write_events(tmp_path / "a.jsonl", with_header(events, prompt_ids=(1, 2, 3)))
    b = write_events(tmp_path / "b.jsonl", with_header(events, prompt_ids=(1, 2, 4)))
    [warning] = compare_recordings([a, b]).warnings
    assert "prompts differ" in warning
    assert "from token 3 on" in warning
    c = write_events(tmp_path / "c.jsonl", with_header(events, prompt_text="Another question"))
    assert "prompts differ" in compare_recordings([write_events(tmp_path / "d.jsonl", events), c]).warnings[0]


def test_another_dense_model_and_another_temperature_are_warned_of(tmp_path: Path) -> None:
    events = recorded_events(8)
    start = next(event for event in events if isinstance(event, RunStarted))
    dense = replace(start.header.dense, name="Other", fingerprint="ff")
    settings = replace(start.header.settings, analysis_temperature=2.0)
    a = write_events(tmp_path / "a.jsonl", events)
    b = write_events(tmp_path / "b.jsonl", with_header(events, dense=dense, settings=settings))
    warnings = " ".join(compare_recordings([a, b]).warnings)
    assert "dense models differ" in warnings
    assert "T 2" in warnings


def test_two_seeds_are_noted_and_not_warned_of(tmp_path: Path) -> None:
    found = compare_recordings([recorded(tmp_path, "a", seed=1), recorded(tmp_path, "b", seed=2)])
    assert found.warnings == ()
    assert any(str(Sampling(0.8, seed=2)) in note for note in found.notes)


def test_invalid_and_infinite_steps_are_in_the_table(tmp_path: Path) -> None:
    broken = recorded(tmp_path, "a", accidents=Accidents(invalid=9, infinite=4))
    rows = {row.figure.label: row for row in compare_recordings([broken, recorded(tmp_path, "b")]).rows}
    assert rows["largest KL"].values[0] == math.inf
    assert rows["largest KL"].differences[1] == -math.inf
    assert rows["invalid steps"].values == (1, 0)


def test_too_few_or_empty_recordings_are_refused(tmp_path: Path, two: list[Path]) -> None:
    with pytest.raises(BadInput, match="two recordings"):
        compare_recordings(two[:1])
    empty = write_events(tmp_path / "empty.jsonl", recorded_events(4)[:1])
    with pytest.raises(BadInput, match="holds no step"):
        compare_recordings([two[0], empty])


def test_the_table_says_warnings_first_and_marks_differences(tmp_path: Path, two: list[Path]) -> None:
    console = Console(width=120, record=True, file=StringIO())
    print_compared(compare_recordings(two), console)
    text = console.export_text()
    assert "wanda:0.2" in text
    assert "wanda:0.9" in text
    assert "The pruned texts diverge at step" in text
    assert "first split [step]" in text
    survival = next(line for line in text.splitlines() if line.startswith("survival "))
    assert survival.rstrip().endswith("pt")
    other = write_events(tmp_path / "o.jsonl", with_header(recorded_events(16), prompt_text="Another question"))
    print_compared(compare_recordings([two[0], other]), console)
    assert console.export_text().lstrip().startswith("! The prompts differ")


def test_the_json_object_names_what_is_not_finite(tmp_path: Path) -> None:
    broken = recorded(tmp_path, "a", accidents=Accidents(infinite=4))
    found = compared_object(compare_recordings([broken, recorded(tmp_path, "b")]))
    again = json.loads(json.dumps(found, allow_nan=False))
    names = [row["name"] for row in again["rows"]]
    place = names.index("largest KL")
    assert again["rows"][place]["values"][0] is None
    assert again["nonfinite"][f"rows.{place}.values.0"] == "inf"
    assert again["recordings"][0]["summary"]["compared"] == 24


def test_nothing_a_model_wrote_reaches_the_terminal_as_a_control(tmp_path: Path) -> None:
    events = recorded_events(8)
    hostile = [
        replace(e, record=replace(e.record, taken=replace(e.record.taken, token="\x1b[31m\x07")))
        if isinstance(e, StepMeasured) and e.record.step == 5 and e.record.taken
        else e
        for e in events
    ]
    console = Console(width=120, record=True, file=StringIO())
    paths = [write_events(tmp_path / "a.jsonl", events), write_events(tmp_path / "b.jsonl", hostile)]
    print_compared(compare_recordings(paths), console)
    text = console.export_text()
    assert "\x1b[31m" not in text
    assert "␛[31m␇" in text


def test_what_explains_the_same_step_is_set_side_by_side(tmp_path: Path) -> None:
    findings = sample_findings(step=3)
    spoiled = [replace(e, found=replace(e.found, kl=2.0)) if isinstance(e.found, Swaps) else e for e in findings]
    first = write_events(tmp_path / "a.jsonl", [*recorded_events(6), *findings, *sample_findings(step=4)])
    second = write_events(tmp_path / "b.jsonl", [*recorded_events(6, setting="wanda:0.3"), *spoiled])
    compared = compare_recordings([first, second])
    rows = {(one.where, one.what): one.values for one in compared.explained}
    assert {where for where, _ in rows} == {"step 3"}
    assert rows["step 3", "parting layer"] == ("attn 1", "attn 1")
    assert rows["step 3", "KL of one pass"] == ("0.900", "2.00")
    assert rows["step 3", "largest heal"] == ("mlp 2 (0.300)",) * 2
    assert rows["step 3", "largest damage"] == ("mlp 2 (0.300)",) * 2
    assert rows["step 3", "compute / memory"] == ("memory (0.100 / 0.700 of 0.900)",) * 2
    assert rows["step 3", "split"] == ("confident flip (margin 0.500 → −0.700)",) * 2
    assert rows["step 3", "fork, dense / pruned token forced"] == ("recovers / collapses",) * 2
    assert compared_object(compared)["explained"][0]["step"] == 3  # type: ignore[index]
    printed = StringIO()
    print_compared(compared, Console(file=printed, width=160))
    assert "step 3, largest heal" in printed.getvalue()
    assert not compare_recordings([first, write_events(tmp_path / "c.jsonl", recorded_events(5))]).explained
