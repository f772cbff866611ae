"""Compares several recordings of one prompt step by step: their figures, and their differences to the first."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

from explorer.recordings.compared_findings import ComparedFinding, compare_findings
from explorer.sources.chosen import Chosen, read_recording
from explorer.words import numbers
from explorer.words.summary_figures import Over, SummaryFigure, summary_figures
from probes.recording import RecordedRun, Recording
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from probes.schema.summary import Summary, summarise
from probes.schema.watch import WatchedGroup
from probes.system.collector import collector_at_rest

_LEAST_POINTS = 0.0005
"""The smallest difference of shares that is written in points; a smaller one would look like none."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One recording among those that are compared."""

    label: str
    """Its setting. If others have the same one: with its context, its seed or its file name."""
    path: Path
    run: RecordedRun
    records: Sequence[StepRecord]
    """All steps of the branch that was shown last."""
    summary: Summary
    """Over the first steps, as many as every entry has. Its figures may be of fewer: see `ComparisonRow.over`."""

    @property
    def header(self) -> RunHeader:
        return self.run.header


@dataclass(frozen=True, slots=True)
class ComparisonRow:
    """One figure of every entry."""

    figure: SummaryFigure
    values: tuple[float | None, ...]
    """None if an entry has no such figure."""
    over: int | None = None
    """The number of steps it is taken over, the same ones in every entry; None if it is over the whole path."""

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Each value less the first: 0 for the first itself, None if one of the two is missing."""
        first = self.values[0]
        return tuple(_less(value, first) for value in self.values)


@dataclass(frozen=True, slots=True)
class ComparedText:
    """One model's text in every entry, token by token on the common axis."""

    side: str
    """"dense" or "pruned"."""
    tokens: tuple[tuple[str | None, ...], ...]
    """One row a step, one token an entry; None if the entry has no token there."""
    diverges_at: int | None
    """The first step at which not all entries that are still writing have the same token."""


@dataclass(frozen=True, slots=True)
class RunComparison:
    """Recordings set side by side."""

    entries: tuple[ComparedRun, ...]
    common: int
    """Steps that all of them have."""
    shared: int
    """Steps among these at which all of them compare the models on one context; most rows are over these."""
    both: int
    """Steps among those at which, both models also write in all of them; own sums and agreement are over these."""
    rows: tuple[ComparisonRow, ...]
    texts: tuple[ComparedText, ComparedText]
    warnings: tuple[str, ...]
    """Sentences on why the figures are not comparable."""
    notes: tuple[str, ...]
    """Sentences on acceptable differences: contexts, samplers, lengths, the state of the files."""
    explained: tuple[ComparedFinding, ...] = ()
    """What explains the same steps in all of them, if it was recorded."""
    named: tuple[Chosen, ...] = ()
    """The runs as a person names them; empty if they were not opened by name."""

    @property
    def span(self) -> str:
        """The steps that most rows are over, as the end of "over the first …"."""
        return f"{self.common} steps" if self.shared == self.common else f"{self.common} steps, {self.shared} of them"

    def marked(self, row: ComparisonRow) -> bool:
        """Is this row over other steps than most?"""
        return row.over not in (None, self.shared)


@collector_at_rest()
def compare_recordings(recordings: Sequence[Chosen | Path | str]) -> RunComparison:
    """Reads recordings and compares them with the first.

    Takes the chosen run of each file, or the last run with steps, and its branch that was shown last.
    Raises `BadInput` if there are fewer than two, and if one can't be read or holds no step.
    """
    if len(recordings) < 2:
        raise BadInput("Compare", "A comparison needs two recordings or more.", "Name another file.")
    opened = [read_recording(one, tables=False) for one in recordings]
    notes: dict[str, None] = {}  # one file may be given twice, for two of its runs
    for recording in opened:
        name = visible(recording.path.name)
        notes |= dict.fromkeys(f"{name}: {note}" for note in recording.notes)
        if recording.chosen is None and len([run for run in recording.runs if run.steps]) > 1:
            notes[f"{name} holds {len(recording.runs)} runs; the last one is compared ({name}#1 is the first)."] = None
    found = compare_runs([one.path for one in opened], [one.run for one in opened], list(notes))
    return replace(found, named=tuple(_named(one) for one in opened))


def _named(recording: Recording) -> Chosen:
    """The run that is compared, by its number if the file has others."""
    return Chosen(recording.path, recording.run.place if len(recording.runs) > 1 else None)


def compare_runs(paths: Sequence[Path], runs: Sequence[RecordedRun], notes: Sequence[str] = ()) -> RunComparison:
    """Compares runs that were read already. `notes` come before its own."""
    for path, run in zip(paths, runs, strict=True):
        if not run.path:
            raise BadInput("Nothing to compare", f"{visible(str(path))} holds no step.", "Leave it out.")
    common = min(len(run.path) for run in runs)
    labels = labels_of(paths, runs)
    entries = tuple(
        ComparedRun(label, path, run, run.path, summarise(run.path[:common]))
        for label, path, run in zip(labels, paths, runs, strict=True)
    )
    firsts = [entry.records[:common] for entry in entries]
    shared = [step for step in range(common) if all(path[step].shared for path in firsts)]
    both = [step for step in shared if all(path[step].own and path[step].agree is not None for path in firsts)]
    known = [entry for entry in entries if not entry.run.headless]
    return RunComparison(
        entries=entries,
        common=common,
        shared=len(shared),
        both=len(both),
        rows=_rows(entries, shared, both),
        texts=(_text("dense", entries), _text("pruned", entries)),
        warnings=tuple(_warnings(known)),
        notes=(*notes, *_differing(known), *_lengths(entries, common, len(shared), len(both))),
        explained=compare_findings(runs),
    )


def token_of(record: StepRecord, side: str, follow: Follow) -> str | None:
    """The token that a step adds to one model's text. If the model does not write: the token it would have chosen."""
    if follow is Follow.FREE and side == "pruned":
        own = record.taken_pruned or (record.taken if record.same_context else None)
        return own.token if own else None
    if follow is Follow.FREE or side == ("pruned" if follow is Follow.PRUNED else "dense"):
        return record.taken.token if record.taken else None
    choice = record.dense if side == "dense" else record.pruned
    return choice.token if choice else None


def labels_of(paths: Sequence[Path], runs: Sequence[RecordedRun]) -> list[str]:
    """The shortest names that tell the entries apart: their settings, and more if settings are the same."""
    labels = [visible(path.stem) if run.headless else run.header.title for path, run in zip(paths, runs, strict=True)]
    _tell_apart(labels, ["" if run.headless else str(run.header.settings.follow) for run in runs])
    _tell_apart(labels, ["" if run.headless else str(run.header.settings.sampling) for run in runs])
    parts = [""] * len(labels)
    for places in _clashing(labels):
        for place, part in zip(places, _telling([visible(paths[place].stem) for place in places]), strict=True):
            parts[place] = part
    _tell_apart(labels, parts)
    _tell_apart(labels, [f"run {run.place}" for run in runs])
    for places in _clashing(labels):
        for place in places:
            labels[place] += f" ({place + 1})"
    return labels


def _tell_apart(labels: list[str], words: Sequence[str]) -> None:
    """Adds a word to each label that occurs more than once, if the words differ."""
    for places in _clashing(labels):
        if len({words[place] for place in places}) > 1:
            for place in places:
                labels[place] += f" · {words[place]}" if words[place] else ""


def _clashing(labels: Sequence[str]) -> list[list[int]]:
    """The places of each label that occurs more than once."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return [found for found in places.values() if len(found) > 1]


def _telling(stems: Sequence[str]) -> list[str]:
    """The part of each file name that differs in all of them, or every part that differs in some."""
    columns = list(zip_longest(*(re.split(r"[_\s]+", stem) for stem in stems), fillvalue=""))
    differing = [column for column in columns if len(set(column)) > 1]
    for column in differing:
        if len(set(column)) == len(stems):
            return list(column)
    return [" ".join(column[place] for column in differing if column[place]) for place in range(len(stems))]


ROWS = summary_figures(
    "compared",
    "kl_shared_sum",
    "kl_sum",
    "drift",
    "kl_shared.mean",
    "kl_shared.median",
    "kl_shared.p90",
    "kl_shared.p99",
    "kl_shared.max",
    "survival",
    "half_life",
    "log_ratio",
    "perplexity_ratio",
    "agree_rate",
    "longest_agreement",
    "first_split",
    "rms_p_minus_q",
)


def _rows(entries: Sequence[ComparedRun], shared: Sequence[int], both: Sequence[int]) -> tuple[ComparisonRow, ...]:
    """The figures: those on the shared context over the steps `shared`, those of both models over `both`, from 0."""
    whole = [entry.summary for entry in entries]
    common = min(len(entry.records) for entry in entries)
    on_shared = whole if len(shared) == common else _summaries(entries, shared)
    on_both = on_shared if len(both) == len(shared) else _summaries(entries, both)

    def row(figure: SummaryFigure) -> ComparisonRow:
        if figure.over is Over.PATH:
            return ComparisonRow(figure, tuple(map(figure.of, whole)))
        steps, summaries = (shared, on_shared) if figure.over is Over.SHARED else (both, on_both)
        return ComparisonRow(figure, tuple(figure.of(one) if steps else None for one in summaries), len(steps))

    steps, invalid = summary_figures("steps", "invalid")
    rows = [ComparisonRow(steps, tuple(len(entry.records) for entry in entries)), *map(row, ROWS)]
    if all(summary.watched_kl is not None for summary in whole) and len(_watches(entries)) == 1:
        rows += map(row, summary_figures("watched_kl", "watched_agree_rate"))
    return (*rows, row(invalid)) if any(summary.invalid for summary in whole) else tuple(rows)


def _summaries(entries: Sequence[ComparedRun], steps: Sequence[int]) -> list[Summary]:
    """Each entry's summary over some of its steps, counted from 0."""
    return [summarise([entry.records[step] for step in steps]) for entry in entries]


def _watches(entries: Sequence[ComparedRun]) -> set[tuple[WatchedGroup, ...]]:
    """The different choices of watched tokens."""
    return {entry.header.settings.watch for entry in entries}


def _text(side: str, entries: Sequence[ComparedRun]) -> ComparedText:
    columns = [[token_of(r, side, entry.header.settings.follow) for r in entry.records] for entry in entries]
    tokens = tuple(zip_longest(*columns))
    diverges_at = next((step for step, row in enumerate(tokens, 1) if len({*row} - {None}) > 1), None)
    return ComparedText(side, tokens, diverges_at)


def _warnings(entries: Sequence[ComparedRun]) -> list[str]:
    """Warnings on entries with a known header; each is compared with the first of them."""
    found = []
    for entry in entries[1:]:
        first = entries[0]
        a, b = first.header, entry.header
        if place := _prompts_part(a, b):
            found.append(f"The prompts differ: {entry.label} reads another text than {first.label} {place}.")
        elif a.settings.text != b.settings.text and Follow.TEXT in (a.settings.follow, b.settings.follow):
            found.append(f"{entry.label} scores another text than {first.label}.")
        if _model(a) != _model(b):
            found.append(f"The dense models differ: {b.dense.name} in {entry.label}, {a.dense.name} in {first.label}.")
        if a.settings.analysis_t != b.settings.analysis_t:
            found.append(
                f"The distributions are taken at different temperatures: T {b.settings.analysis_t:g} in {entry.label}, "
                f"T {a.settings.analysis_t:g} in {first.label}."
            )
    return found


def _differing(entries: Sequence[ComparedRun]) -> list[str]:
    """Notes on how entries with a known header were set up differently."""
    found = []
    for name, values in (
        ("Contexts", [str(entry.header.settings.follow) for entry in entries]),
        ("Samplers", [str(entry.header.settings.sampling) for entry in entries]),
        ("Number types", [entry.header.dense.dtype for entry in entries]),
        ("Devices", [entry.header.dense.device for entry in entries]),
    ):
        if len(set(values)) > 1:
            listed = ", ".join(f"{value} in {entry.label}" for value, entry in zip(values, entries, strict=True))
            found.append(f"{name} differ: {listed}.")
    if len(_watches(entries)) > 1:
        found.append("They watch other tokens, so the figures of watched tokens are left out.")
    return found


def _lengths(entries: Sequence[ComparedRun], common: int, shared: int, both: int) -> list[str]:
    """Notes on the steps that the rows are over, if those are not all steps of all entries."""
    found = []
    if any(len(entry.records) != common for entry in entries):
        found.append(f"Figures are over the first {common} steps, which all of them have.")
    if shared != common:
        found.append(
            f"Figures are over {shared} of the first {common} steps, at which all of them compare the models on one "
            "context."
        )
    if both != shared:
        listed = ", ".join(f"{entry.summary.compared} steps in {entry.label}" for entry in entries)
        rest = (
            f"rows marked * are over the {both} steps that all of them share"
            if both
            else "rows marked * are empty, as no step has both models generating in every recording"
        )
        found.append(f"Both models generate at {listed}: {rest}.")
    return found


def _prompts_part(a: RunHeader, b: RunHeader) -> str:
    """The place where two prompts differ, as the end of a sentence; "" if they are the same."""
    if a.prompt_ids and b.prompt_ids:
        if a.prompt_ids == b.prompt_ids:
            return ""
        same = next(
            (place for place, pair in enumerate(zip(a.prompt_ids, b.prompt_ids, strict=False)) if pair[0] != pair[1]),
            min(len(a.prompt_ids), len(b.prompt_ids)),
        )
        return f"from token {same + 1} on"
    return "" if a.prompt_text == b.prompt_text else "(the texts are not the same)"


def _model(header: RunHeader) -> str:
    """The identity of the dense model: the hash of its weights if it is known, else its name."""
    return header.dense.fingerprint or header.dense.name


def _less(value: float | None, first: float | None) -> float | None:
    if value is None or first is None:
        return None
    return 0.0 if value == first else value - first if not math.isnan(value - first) else math.nan


def points(value: float, digits: int = 3) -> str:
    """A difference of two shares, without its sign: in percentage points."""
    return f"{numbers.significant(100 * value, digits)} pt" if value >= _LEAST_POINTS else numbers.significant(value)
