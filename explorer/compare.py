"""Several recordings of one prompt on one axis of steps: what each measured, and how they differ from the first."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from probes.accumulate import Summary, summarise
from probes.errors import BadInput
from probes.header import RunHeader
from probes.record import StepRecord
from probes.session import RecordedRun, read
from probes.settings import Follow


@dataclass(frozen=True, slots=True)
class Entry:
    """One recording among those that are compared."""

    label: str
    """Tells it from the others: its setting, and where that is not enough its context, seed or file name."""
    path: Path
    run: RecordedRun
    records: Sequence[StepRecord]
    """All steps of the branch that was shown last."""
    summary: Summary
    """Over the steps that every entry has, so that sums can be set against each other."""

    @property
    def header(self) -> RunHeader:
        return self.run.header


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of every entry."""

    name: str
    unit: str
    """"nat", "tokens", "step", or "" for a bare number or share."""
    values: tuple[float | None, ...]
    """None where an entry has no such figure."""

    @property
    def differences(self) -> tuple[float | None, ...]:
        """Each value less the first; 0 for the first itself, None where one of the two is missing."""
        first = self.values[0]
        return tuple(_less(value, first) for value in self.values)


@dataclass(frozen=True, slots=True)
class Text:
    """One model's text in every entry, token by token on the common axis."""

    side: str
    """"dense" or "pruned"."""
    tokens: tuple[tuple[str | None, ...], ...]
    """One row a step, one token an entry; None where the entry has no such token."""
    parts_at: int | None
    """The first step at which not all entries that are still writing have the same token."""


@dataclass(frozen=True, slots=True)
class Compared:
    """Recordings set side by side."""

    entries: tuple[Entry, ...]
    common: int
    """Steps that all of them have; the rows speak of these."""
    rows: tuple[Row, ...]
    texts: tuple[Text, Text]
    warnings: tuple[str, ...]
    """What makes the figures not comparable, in sentences that must not be overlooked."""
    notes: tuple[str, ...]
    """What differs as it may, and should be known: contexts, samplers, lengths, the files' condition."""


def compare(paths: Sequence[Path]) -> Compared:
    """Reads recordings and sets them side by side, the first as reference.

    Takes the last run with steps of each file, and of it the branch that was shown last. Raises `BadInput` where
    fewer than two are given, and where one can't be read or holds no step.
    """
    if len(paths) < 2:
        raise BadInput("Compare", "A comparison needs two recordings or more.", "Name another file.")
    runs, notes = [], []
    for path in paths:
        session = read(path)
        notes += [f"{path.name}: {note}" for note in session.notes]
        if len(with_steps := [run for run in session.runs if run.steps]) > 1:
            notes.append(f"{path.name} holds {len(with_steps)} runs; the last one is compared.")
        runs.append(session.last)
    return compare_runs(paths, runs, notes)


def compare_runs(paths: Sequence[Path], runs: Sequence[RecordedRun], notes: Sequence[str] = ()) -> Compared:
    """Sets runs side by side that were read already; `notes` are put before its own."""
    for path, run in zip(paths, runs, strict=True):
        if not run.path:
            raise BadInput("Nothing to compare", f"{path} holds no step.", "Leave it out.")
    common = min(len(run.path) for run in runs)
    labels = labels_of(paths, runs)
    entries = tuple(
        Entry(label, path, run, run.path, summarise(run.path[:common]))
        for label, path, run in zip(labels, paths, runs, strict=True)
    )
    return Compared(
        entries=entries,
        common=common,
        rows=_rows(entries),
        texts=(_text("dense", entries), _text("pruned", entries)),
        warnings=tuple(_warnings(entries)),
        notes=(*notes, *_notes(entries, common)),
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
    """The shortest names that tell the entries apart."""
    settings = [run.header.settings for run in runs]
    parts = [
        [run.header.title for run in runs],
        [str(one.follow) for one in settings],
        [str(one.sampling) for one in settings],
        [path.stem for path in paths],
    ]
    labels = parts[0]
    for more in parts[1:]:
        if len(set(labels)) == len(labels):
            return labels
        if len(set(more)) > 1:
            labels = [f"{label} · {word}" for label, word in zip(labels, more, strict=True)]
    if len(set(labels)) < len(labels):
        labels = [f"{label} ({place})" for place, label in enumerate(labels, 1)]
    return labels


def _rows(entries: Sequence[Entry]) -> tuple[Row, ...]:
    def row(name: str, unit: str, values: Sequence[float | None]) -> Row:
        return Row(name, unit, tuple(values))

    found = [entry.summary for entry in entries]
    local = [summary.kl_local for summary in found]
    rows = [
        row("steps", "", [len(entry.records) for entry in entries]),
        row("ΣKL, shared context", "nat", [s.kl_local_sum for s in found]),
        row("ΣKL, total", "nat", [s.kl_sum for s in found]),
        row("drift", "nat", [s.drift for s in found]),
        row("mean KL a step", "nat", [k.mean if k else None for k in local]),
        row("median KL", "nat", [k.median if k else None for k in local]),
        row("90 % of KL below", "nat", [k.p90 if k else None for k in local]),
        row("99 % of KL below", "nat", [k.p99 if k else None for k in local]),
        row("largest KL", "nat", [k.max if k else None for k in local]),
        row("survival", "", [s.survival for s in found]),
        row("survival halves in", "tokens", [s.half_life for s in found]),
        row("log ratio", "nat", [s.log_ratio for s in found]),
        row("perplexity ratio", "", [s.perplexity_ratio for s in found]),
        row("same top-1", "", [s.agree_rate for s in found]),
        row("longest agreement", "tokens", [s.longest_agreement for s in found]),
        row("first split", "step", [s.first_split for s in found]),
        row("rms p(y) − q(y)", "", [s.rms_p_minus_q for s in found]),
    ]
    if any(summary.invalid for summary in found):
        rows.append(row("invalid steps", "", [s.invalid for s in found]))
    return tuple(rows)


def _text(side: str, entries: Sequence[Entry]) -> Text:
    columns = [[token_of(r, side, entry.header.settings.follow) for r in entry.records] for entry in entries]
    tokens = tuple(zip_longest(*columns))
    parts_at = next((step for step, row in enumerate(tokens, 1) if len({t for t in row if t is not None}) > 1), None)
    return Text(side, tokens, parts_at)


def _warnings(entries: Sequence[Entry]) -> list[str]:
    first, *others = entries
    found = []
    for entry in others:
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


def _notes(entries: Sequence[Entry], common: int) -> list[str]:
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
    if any(len(entry.records) != common for entry in entries):
        found.append(f"Figures are over the first {common} steps, which all of them have.")
    return found


def _prompts_part(a: RunHeader, b: RunHeader) -> str:
    """Where two prompts part, as the end of a sentence; "" where they are the same."""
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
