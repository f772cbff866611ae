"""Several recordings of one prompt on one axis of steps: what each measured, and how they differ from the first."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from explorer.sources.chosen import Chosen, read_recording
from explorer.words import numbers
from probes.recording import RecordedRun
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from probes.schema.summary import Spread, Summary, summarise

Figure = Callable[[Summary], float | None]

_SHARES = ("survival", "same top-1")
_LEAST_POINTS = 0.0005
"""A difference of shares is told in points from here on; a smaller one would look like none."""


@dataclass(frozen=True, slots=True)
class ComparedRun:
    """One recording among those that are compared."""

    label: str
    """Tells it from the others: its setting, and where that is not enough its context, seed or file name."""
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

    name: str
    unit: str
    """"nat", "tokens", "step", or "" for a bare number or share."""
    values: tuple[float | None, ...]
    """None where an entry has no such figure."""
    over: int | None = None
    """The number of steps it is taken over, the same ones in every entry; None where it is no figure of that kind."""

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Each value less the first; 0 for the first itself, None where one of the two is missing."""
        first = self.values[0]
        return tuple(_less(value, first) for value in self.values)


@dataclass(frozen=True, slots=True)
class ComparedText:
    """One model's text in every entry, token by token on the common axis."""

    side: str
    """"dense" or "pruned"."""
    tokens: tuple[tuple[str | None, ...], ...]
    """One row a step, one token an entry; None where the entry has no such token."""
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
    """What makes the figures not comparable, in sentences that must not be overlooked."""
    notes: tuple[str, ...]
    """What differs as it may, and should be known: contexts, samplers, lengths, the files' condition."""

    @property
    def span(self) -> str:
        """What most rows are over, as the end of "over the first …"."""
        return f"{self.common} steps" if self.shared == self.common else f"{self.common} steps, {self.shared} of them"

    def marked(self, row: ComparisonRow) -> bool:
        """Is this row over other steps than most?"""
        return row.over not in (None, self.shared)


def compare_recordings(recordings: Sequence[Chosen | Path | str]) -> RunComparison:
    """Reads recordings and sets them side by side, the first as reference.

    Takes the run that is chosen of each file, else the last one with steps, and of it the branch that was shown last.
    Raises `BadInput` where fewer than two are given, and where one can't be read or holds no step.
    """
    if len(recordings) < 2:
        raise BadInput("Compare", "A comparison needs two recordings or more.", "Name another file.")
    sessions = [read_recording(one) for one in recordings]
    notes: dict[str, None] = {}  # one file may be given twice, for two of its runs
    for session in sessions:
        name = visible(session.path.name)
        notes |= dict.fromkeys(f"{name}: {note}" for note in session.notes)
        if session.chosen is None and len([run for run in session.runs if run.steps]) > 1:
            notes[f"{name} holds {len(session.runs)} runs; the last one is compared ({name}#1 is the first)."] = None
    return compare_runs([session.path for session in sessions], [session.run for session in sessions], list(notes))


def compare_runs(paths: Sequence[Path], runs: Sequence[RecordedRun], notes: Sequence[str] = ()) -> RunComparison:
    """Sets runs side by side that were read already; `notes` are put before its own."""
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
    )


def token_of(record: StepRecord, side: str, follow: Follow) -> str | None:
    """The token that a step adds to one model's text; where the model does not write, the one it would have chosen."""
    if follow is Follow.FREE and side == "pruned":
        own = record.taken_pruned or (record.taken if record.same_context else None)
        return own.token if own else None
    if follow is Follow.FREE or side == ("pruned" if follow is Follow.PRUNED else "dense"):
        return record.taken.token if record.taken else None
    choice = record.dense if side == "dense" else record.pruned
    return choice.token if choice else None


def labels_of(paths: Sequence[Path], runs: Sequence[RecordedRun]) -> list[str]:
    """The shortest names that tell the entries apart: their settings, with what differs where these are the same."""
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
    """Adds each one's word to the labels that are there more than once, where their words differ."""
    for places in _clashing(labels):
        if len({words[place] for place in places}) > 1:
            for place in places:
                labels[place] += f" · {words[place]}" if words[place] else ""


def _clashing(labels: Sequence[str]) -> list[list[int]]:
    """The places of each label that is there more than once."""
    places: dict[str, list[int]] = {}
    for place, label in enumerate(labels):
        places.setdefault(label, []).append(place)
    return [found for found in places.values() if len(found) > 1]


def _telling(stems: Sequence[str]) -> list[str]:
    """Of file names the one part that differs in all of them, or else every part that differs in some."""
    columns = list(zip_longest(*(re.split(r"[_\s]+", stem) for stem in stems), fillvalue=""))
    differing = [column for column in columns if len(set(column)) > 1]
    for column in differing:
        if len(set(column)) == len(stems):
            return list(column)
    return [" ".join(column[place] for column in differing if column[place]) for place in range(len(stems))]


def _rows(entries: Sequence[ComparedRun], shared: Sequence[int], both: Sequence[int]) -> tuple[ComparisonRow, ...]:
    """The figures: those of one context over the steps `shared`, those of both models' own over `both`, from 0."""
    whole = [entry.summary for entry in entries]
    on_one = [summarise([entry.records[step] for step in shared]) for entry in entries]
    on_own = [summarise([entry.records[step] for step in both]) for entry in entries]

    def shared_row(name: str, unit: str, value: Figure) -> ComparisonRow:
        return ComparisonRow(name, unit, tuple(value(s) if shared else None for s in on_one), len(shared))

    def spread(name: str, value: Callable[[Spread], float]) -> ComparisonRow:
        return shared_row(name, "nat", lambda s: value(s.kl_shared) if s.kl_shared else None)

    def own_row(name: str, unit: str, value: Figure) -> ComparisonRow:
        return ComparisonRow(name, unit, tuple(value(s) if both else None for s in on_own), len(both))

    rows = [
        ComparisonRow("steps", "", tuple(len(entry.records) for entry in entries)),
        ComparisonRow("steps compared", "", tuple(s.compared for s in whole)),
        shared_row("ΣKL, shared context", "nat", lambda s: s.kl_shared_sum),
        own_row("ΣKL, own contexts", "nat", lambda s: s.kl_sum),
        own_row("drift", "nat", lambda s: s.drift),
        spread("mean KL a step", lambda kl: kl.mean),
        spread("median KL", lambda kl: kl.median),
        spread("90 % of KL below", lambda kl: kl.p90),
        spread("99 % of KL below", lambda kl: kl.p99),
        spread("largest KL", lambda kl: kl.max),
        shared_row("survival", "", lambda s: s.survival),
        shared_row("survival halves in", "tokens", lambda s: s.half_life),
        shared_row("log ratio", "nat", lambda s: s.log_ratio),
        shared_row("perplexity ratio", "", lambda s: s.perplexity_ratio),
        own_row("same top-1", "", lambda s: s.agree_rate),
        own_row("longest agreement", "tokens", lambda s: s.longest_agreement),
        ComparisonRow("first split", "step", tuple(s.first_split for s in whole)),
        shared_row("rms p(y) − q(y)", "", lambda s: s.rms_p_minus_q),
    ]
    if any(summary.invalid for summary in whole):
        rows.append(ComparisonRow("invalid steps", "", tuple(s.invalid for s in whole)))
    return tuple(rows)


def _text(side: str, entries: Sequence[ComparedRun]) -> ComparedText:
    columns = [[token_of(r, side, entry.header.settings.follow) for r in entry.records] for entry in entries]
    tokens = tuple(zip_longest(*columns))
    diverges_at = next((step for step, row in enumerate(tokens, 1) if len({t for t in row if t is not None}) > 1), None)
    return ComparedText(side, tokens, diverges_at)


def _warnings(entries: Sequence[ComparedRun]) -> list[str]:
    """What must be known of those whose header is; each is held against the first of them."""
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
    """In what those whose header is known were set up differently."""
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
    return found


def _lengths(entries: Sequence[ComparedRun], common: int, shared: int, both: int) -> list[str]:
    """Which steps the rows are over, where that is not all of every entry's."""
    found = []
    if any(len(entry.records) != common for entry in entries):
        found.append(f"Figures are over the first {common} steps, which all of them have.")
    if shared != common:
        found.append(
            f"At {shared} of the first {common} steps all of them compare the models on one context: figures are over "
            "these."
        )
    if both != shared:
        listed = ", ".join(f"{entry.summary.compared} steps in {entry.label}" for entry in entries)
        rest = f"is over the {both} steps at which all of them do" if both else "is left out: at no step all of them do"
        found.append(f"Both models write at {listed}: what needs both (*) {rest}.")
    return found


def _prompts_part(a: RunHeader, b: RunHeader) -> str:
    """Where two prompts differ, as the end of a sentence; "" where they are the same."""
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
    """What the dense model is known by: its weights where they were hashed, else its name."""
    return header.dense.fingerprint or header.dense.name


def _less(value: float | None, first: float | None) -> float | None:
    if value is None or first is None:
        return None
    return 0.0 if value == first else value - first if not math.isnan(value - first) else math.nan


def is_share(row: ComparisonRow) -> bool:
    """Is it a part of a whole, told in percent?"""
    return row.name in _SHARES


def points(value: float, digits: int = 3) -> str:
    """A difference of two shares, without its sign: in percentage points."""
    return f"{numbers.significant(100 * value, digits)} pt" if value >= _LEAST_POINTS else numbers.significant(value)
