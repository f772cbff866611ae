"""Writes each event of a recording as a line, and reads such a line.

A file is JSON Lines: one object a line, in the order of the events, each with a `kind`. A new kind, or a new key of a
known kind, does not change the format's number; a reader ignores unknown kinds and keys.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from probes.recording.finding_lines import finding_data, finding_from
from probes.recording.step_line import usual_step, without_tables
from probes.recording.upgrade import FORMAT, upgraded
from probes.schema.as_json import json_of
from probes.schema.bounds import LONGEST_TEXT, MOST_MATRICES, MOST_NAMES, Bounded, BoundedCell, Natural, Place
from probes.schema.branches import Branch
from probes.schema.conversation import TemplateArgs, Turns
from probes.schema.errors import FailureKind, PhierError
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    DocumentsCompared,
    Event,
    Explained,
    Failed,
    ItemScored,
    Judged,
    Noticed,
    PassagesFound,
    PlaybackChanged,
    PromptRendered,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    SweepRead,
    Why,
    WorkProgressed,
)
from probes.schema.findings import kind_of
from probes.schema.flat_step import from_jsonable, to_jsonable
from probes.schema.foreign_text import visible
from probes.schema.header import RunHeader
from probes.schema.record import Invalid, StepRecord
from probes.schema.recorded_table import RecordedTable
from probes.schema.until import Met, parse_until
from probes.schema.watch import WatchedGroup

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
"""Some programs put it before the first line of a text file; in joined files it may be before other lines too."""

MOST_ROWS, MOST_COLUMNS = 10_000, 100
"""Rows of one explanation, and values of one of its rows."""
MOST_FOUND_NOTES = 100
"""Notes of one finding."""
_MOST_MADE_UP = 4_000_000
"""The most rows of a layer view: layers of the model times reported matrices."""

Recorded = RunStarted | BranchOpened | BranchSelected | StepMeasured | Explained | RunResumed | RunPaused | Failed
"""The events that a file holds: all except progress, notices and playback."""


@dataclass(frozen=True, slots=True)
class Line:
    """One readable line."""

    at: float
    """Seconds since the recording began."""
    event: Recorded


@dataclass(frozen=True, slots=True)
class Unknown:
    """A line of a kind that this version does not know."""

    kind: str


class Unreadable(ValueError):
    """A line that is damaged, or that no version of the program writes. Its message says what is wrong."""


def encode(event: Event, at: float) -> bytes:
    """The event's line with its line break; b"" for events that are not recorded, such as progress."""
    body = _body(event)
    if body is None:
        return b""
    kind, *rest = body.items()
    line = dict([kind, ("at", round(at, 3)), *rest])
    return json_of(line) + b"\n"  # half a surrogate pair is replaced, but the token's id is in the line


def decode(raw: bytes, version: int, *, tables: bool = True) -> tuple[Line | Unknown, int]:
    """The event of a line, and the format of this line and the next ones. Raises `Unreadable`.

    `version` is the format of the last header; a header line has its own. Of a line in a newer format, the known keys
    are read. Without `tables`, steps have no tables of next tokens.
    """
    raw = raw.removeprefix(BYTE_ORDER_MARK)
    try:
        if version == FORMAT and (line := usual_step(raw, tables=tables)) is not None:
            event: Recorded = StepMeasured(line.run, line.branch, _checked(line.record()), line.seconds)
            return Line(line.at, event), version
        envelope = _ENVELOPE.decode(raw)
        if envelope.format is not None:
            version = envelope.format
        if version < FORMAT:
            raw = msgspec.json.encode(upgraded(msgspec.json.decode(raw), version))
            envelope = _ENVELOPE.decode(raw)
        if envelope.kind == "step":
            record = _checked(from_jsonable(msgspec.json.decode(raw)))
            event = StepMeasured(
                envelope.run, envelope.branch, record if tables else without_tables(record), envelope.seconds
            )
        elif envelope.kind in _KINDS:
            plain = msgspec.json.decode(raw)
            watch = plain["header"]["settings"].pop("watch", ()) if envelope.kind == "header" else ()
            # The text of a finding may be that of tokens, which are made safe only when they are shown.
            event = msgspec.convert(
                plain if envelope.kind == "finding" else _shown(plain), _KINDS[envelope.kind]
            ).event()
            if isinstance(event, RunStarted):
                event = replace(event, header=_as_read(event.header, plain["header"], watch))
        else:
            return Unknown(envelope.kind), version
    except (msgspec.MsgspecError, PhierError, LookupError, TypeError, ValueError, RecursionError) as problem:
        raise Unreadable(visible(str(problem), _LONGEST_REASON)) from problem
    return Line(envelope.at, event), version


def _body(event: Event) -> dict[str, Any] | None:
    """The event as plain data, its kind first."""
    match event:
        case StepMeasured():
            return {
                "kind": "step",
                "run": event.run,
                "branch": event.branch,
                "seconds": round(event.seconds, 6),
                **to_jsonable(event.record),
            }
        case RunStarted():
            header = msgspec.to_builtins(event.header)
            return {"kind": "header", "format": FORMAT, "run": event.run, "header": header}
        case BranchOpened():
            return {"kind": "branch", "run": event.run, "opened": msgspec.to_builtins(event.branch)}
        case BranchSelected():
            return {"kind": "selected", "run": event.run, "branch": event.branch}
        case RunResumed():
            return {"kind": "resumed", "run": event.run, "until": list(event.until)}
        case RunPaused():
            return {"kind": "paused", "run": event.run, "why": event.why.value, **_pause_data(event)}
        case Explained():
            return _explanation(event)
        case Failed():
            said = {"title": event.title, "message": event.message, "hint": event.hint}
            return {"kind": "failed", "failure": event.kind.value, **said}
        case WorkProgressed() | Noticed() | PlaybackChanged() | PromptRendered():
            return None
        case ItemScored() | DocumentsCompared() | Judged() | PassagesFound() | SweepRead():
            return None  # they are about settings, not the run, and have files of their own


def _explanation(event: Explained) -> dict[str, Any] | None:
    """A final finding. Tables of older recordings keep their form; all others are of a kind that those do not know."""
    place: dict[str, Any] = {"run": event.run, "branch": event.branch, "step": event.step, "through": event.through}
    if not event.final:
        return None
    if isinstance(event.found, RecordedTable):
        return {"kind": "explained", **place, **to_jsonable(event.found)}
    what = {"what": kind_of(event.found), "level": event.level, "notes": event.notes}
    return {"kind": "finding", **place, **what, **finding_data(event.found)}


def _pause_data(event: RunPaused) -> dict[str, Any]:
    """The data of a pause, without fields that have their default value."""
    plain = to_jsonable(event)
    names = ("step", "more", "left", "met", "invalid", "said", "nonfinite")
    return {name: plain[name] for name in names if plain.get(name)}


def _checked(record: StepRecord) -> StepRecord:
    """The record, with text of others made safe to show. Raises ValueError if its parts don't fit together."""
    split = record.sum.first_split
    if split is not None and split > record.step:
        raise ValueError(f"the first split, step {split}, is after this step, {record.step} - at `$.sum.first_split`")
    if record.invalid is None:
        return record
    model, layer = (visible(text, LONGEST_TEXT) for text in (record.invalid.model, record.invalid.layer))
    return replace(record, invalid=Invalid(model, layer))


def _shown(plain: dict[str, Any], depth: int = 2) -> dict[str, Any]:
    """The same line with all text made safe to show and limited in length.

    Checking every name of every matrix takes several times as long as reading the line, so a part whose JSON shows that
    nothing would change is left as it is.
    """
    return {
        visible(key, LONGEST_TEXT): _shown(value, depth - 1)
        if depth > 1 and isinstance(value, dict)
        else value
        if _is_plain(value)
        else _visible(value)
        for key, value in plain.items()
    }


def _is_plain(node: Any) -> bool:
    """Does the JSON of this data show that all text is short, printable ASCII?"""
    raw = msgspec.json.encode(node)
    return raw.isascii() and not (b"\\" in raw or b"\x7f" in raw or _LONG.search(raw))


def _visible(node: Any) -> Any:
    """The same data with all text made safe to show and limited in length."""
    if isinstance(node, str):
        return visible(node, LONGEST_TEXT)
    if isinstance(node, dict):
        return {visible(key, LONGEST_TEXT): _visible(value) for key, value in node.items()}
    return [_visible(item) for item in node] if isinstance(node, list) else node


def _as_read(header: RunHeader, plain: dict[str, Any], watch: object) -> RunHeader:
    """The header with the turns, the text and the watched tokens exactly as the models have them: they are data, shown
    by the rules for tokens."""
    written = plain["settings"]
    settings = replace(
        header.settings,
        prompt=written["prompt"],
        text=written.get("text", ""),
        watch=msgspec.convert(watch, tuple[WatchedGroup, ...]),
        turns=msgspec.convert(written.get("turns", ()), Turns),
        begun=written.get("begun", ""),
        template_args=msgspec.convert(written.get("template_args", ()), TemplateArgs),
    )
    pieces = tuple(plain.get("prompt_pieces", ()))
    return replace(header, settings=settings, prompt_text=plain["prompt_text"], prompt_pieces=pieces)


class _Envelope(msgspec.Struct):
    """The keys that any line may have; other keys are skipped."""

    kind: str
    run: Natural = 0
    branch: Natural = 0
    at: Bounded = 0.0
    seconds: Bounded = 0.0
    format: int | None = None


class _Header(msgspec.Struct):
    run: Natural
    header: RunHeader

    def event(self) -> Recorded:
        report = self.header.prune
        if report is not None:
            matrices, layers = len(report.matrices), self.header.dense.layers
            if matrices > MOST_MATRICES or matrices * layers > _MOST_MADE_UP:
                raise ValueError(f"too many matrices: {matrices:,} of {layers:,} layers")
            if max(len(report.tensors), len(report.notes)) > MOST_NAMES:
                raise ValueError(f"more than {MOST_NAMES:,} tensors or notes")
        return RunStarted(self.run, self.header)


class _Opened(msgspec.Struct):
    run: Natural
    opened: Branch

    def event(self) -> Recorded:
        return BranchOpened(self.run, self.opened)


class _Selected(msgspec.Struct):
    run: Natural
    branch: Natural

    def event(self) -> Recorded:
        return BranchSelected(self.run, self.branch)


class _Resumed(msgspec.Struct):
    run: Natural
    until: tuple[str, ...] = ()

    def event(self) -> Recorded:
        return RunResumed(self.run, self.until)


class _Paused(msgspec.Struct):
    run: Natural
    why: Why
    step: Natural = 0
    more: Natural = 0
    left: Natural = 0
    met: Met | None = None
    invalid: Invalid | None = None
    said: str = ""
    nonfinite: dict[str, str] = {}

    def event(self) -> Recorded:
        met = self.met
        if met is not None:
            parse_until(met.condition)
            if "met.value" in self.nonfinite:
                met = replace(met, value=float(self.nonfinite["met.value"]))
        return RunPaused(self.run, self.why, self.step, self.more, self.left, met, self.invalid, self.said)


class _Failed(msgspec.Struct):
    title: str
    message: str
    hint: str = ""
    failure: FailureKind = FailureKind.FAILURE

    def event(self) -> Recorded:
        return Failed(self.title, self.message, self.hint, self.failure)


class _Explained(msgspec.Struct):
    run: Natural
    branch: Natural
    step: Place
    what: str
    rows: Annotated[
        tuple[Annotated[dict[str, BoundedCell], Meta(max_length=MOST_COLUMNS)], ...], Meta(max_length=MOST_ROWS)
    ]
    through: Place | None = None
    nonfinite: dict[str, str] = {}

    def event(self) -> Recorded:
        rows = [dict(row) for row in self.rows]
        for path, text in self.nonfinite.items():
            _, place, column = path.split(".", 2)
            row, number = rows[int(place)], float(text)
            if math.isfinite(number) or row[column] is not None:
                raise ValueError(f"`nonfinite` names {path!r}, which can't be put back")
            row[column] = number
        return Explained(self.run, self.branch, self.step, RecordedTable(self.what, tuple(rows)), self.through)


class _Found(msgspec.Struct):
    run: Natural
    branch: Natural
    step: Natural
    what: str
    found: dict[str, Any]
    through: Place | None = None
    level: str = "sublayer"
    notes: Annotated[tuple[str, ...], Meta(max_length=MOST_FOUND_NOTES)] = ()
    nonfinite: dict[str, str] = {}

    def event(self) -> Recorded:
        found = finding_from(self.what, self.found, self.nonfinite)
        level, *notes = (visible(text, LONGEST_TEXT) for text in (self.level, *self.notes))
        return Explained(self.run, self.branch, self.step, found, self.through, level, notes=tuple(notes))


_ENVELOPE = msgspec.json.Decoder(_Envelope)
_KINDS: Mapping[str, type[Any]] = {
    "header": _Header,
    "branch": _Opened,
    "selected": _Selected,
    "resumed": _Resumed,
    "paused": _Paused,
    "failed": _Failed,
    "explained": _Explained,
    "finding": _Found,
}
_LONG = re.compile(rb'"[^"]{%d}' % (LONGEST_TEXT + 1))
_LONGEST_REASON = 200
"""How many characters of an error's message are kept."""
