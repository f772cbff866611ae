"""The data for the page's script: series for the charts, and the table and the words of every step.

Figures are rounded to six significant digits, which is finer than a screen shows; tables hold all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from explorer.recordings.comparison import labels_of
from explorer.recordings.export.page_findings import explained_html
from explorer.recordings.export.page_watched import watched_charts
from explorer.recordings.export.series import Number, page_number, series
from explorer.state.columns import Columns
from explorer.words import numbers
from explorer.words import sentences as reading
from explorer.words.charts import CHARTS, ChartKind, ScaleKind, charts
from explorer.words.figures import FIGURES, Scope, value
from explorer.words.token_text import flowing, quoted
from probes.recording import Recording
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord, TopToken
from probes.schema.summary import Summary, summarise


@dataclass(frozen=True, slots=True)
class PageRecording:
    """One recording on the page."""

    label: str
    header: RunHeader
    path: Sequence[StepRecord]
    summary: Summary
    notes: tuple[str, ...]
    data: dict[str, object]
    """The data for the script."""
    explained: str
    """What explains its steps, as HTML."""


@dataclass(frozen=True, slots=True)
class PageLine:
    """One series of a chart."""

    key: str
    label: str
    scope: Scope
    style: str
    """"solid", "dashed" or "dotted"; never distinguished by colour alone."""


PAGE_CHARTS = {
    "h": CHARTS["h.cos"],
    "z": CHARTS["z.cos_centred"],
    "p": CHARTS["p.cos"],
    "kl": CHARTS["p.kl"],
    "sum": CHARTS["sum.kl"],
    "survival": CHARTS["sum.survival"],
}
READOUT = charts("p.kl", "p.tv", "h.cos", "z.cos_centred", "p.cos")
"""The figures beside the cursor's step."""


def page_recordings(recordings: Sequence[Recording]) -> list[PageRecording]:
    """The recordings of a page, with labels that tell them apart."""
    labels = labels_of([recording.path for recording in recordings], [recording.run for recording in recordings])
    return [_entry(recording, label) for recording, label in zip(recordings, labels, strict=True)]


def _entry(recording: Recording, label: str) -> PageRecording:
    run = recording.run
    path = run.path
    notes = list(recording.notes)
    if len(run.branches) > 1:
        notes.append(f"This is one of {len(run.branches)} branches of the recording.")
    if len(recording.runs) > 1:
        notes.append(f"This is one of {len(recording.runs)} runs in the recording.")
    columns = Columns(path)
    columns.catch_up()
    diverged = columns.diverged is not None
    data: dict[str, object] = {
        "label": flowing(label),
        "steps": len(path),
        "charts": [
            *(_chart(id_, chart, path, diverged) for id_, chart in PAGE_CHARTS.items()),
            *watched_charts(run.header.settings.watch, path, diverged),
        ],
        "rows": [
            {
                "readout": [[chart.axis, _text(record, chart.key)] for chart in READOUT],
                "choices": [quoted(c.token) if c else numbers.NONE for c in (record.dense, record.pruned)],
                "reading": " ".join(reading.sentences(record, columns.diverges_at)),
                "tables": [[name, [_row(token) for token in top]] for name, top in _tables(record)],
            }
            for record in path
        ],
        "split": path[-1].sum.first_split,
        "worst": _worst(path),
    }
    return PageRecording(label, run.header, path, summarise(path), tuple(notes), data, explained_html(run))


def _lines(chart: ChartKind, diverged: bool) -> Iterator[PageLine]:
    """Every series of a chart; survival has one, as it is of the shared context. Unless the contexts diverge, shared
    and own are one, without a name."""
    shared = ("shared",) if diverged else ()
    yield PageLine(chart.key, ", ".join(shared), Scope.SHARED, "solid")
    if diverged and chart.scale is not ScaleKind.CHANCE:
        yield PageLine(chart.key, "own", Scope.OWN, "dashed")
    if chart.beside:
        yield PageLine(chart.beside, ", ".join((chart.beside_name, *shared)), Scope.SHARED, "dotted")


def _chart(id_: str, chart: ChartKind, path: Sequence[StepRecord], diverged: bool) -> dict[str, object]:
    return {
        "id": id_,
        "title": chart.name,
        "unit": chart.unit,
        "log": chart.log,
        "better": chart.better,
        "lines": [
            {
                "label": line.label,
                "style": line.style,
                "values": [page_number(one) for one in series(path, line.key, line.scope)],
            }
            for line in _lines(chart, diverged)
        ],
    }


def _text(record: StepRecord, key: str) -> str:
    """A figure in words: on the shared context, and beside it on own contexts, if that differs."""
    shared, own = value(record, key, Scope.SHARED), value(record, key, Scope.OWN)
    write = FIGURES[key].write
    words = numbers.NONE if shared is None else write(shared)
    return words if record.same_context or own is None else f"{words} (own {write(own)})"


def _tables(record: StepRecord) -> Iterator[tuple[str, Sequence[TopToken]]]:
    """The next-token tables of a step: on one shared text, and with each model on its own."""
    own, shared = record.own, record.shared
    if record.same_context or shared is None:
        yield "", own.top if own else ()
        return
    yield "both on the dense text", shared.top
    if own is not None and own.top:
        yield "each on its own text", own.top


def _row(token: TopToken) -> list[Number | int]:
    """Token, p, q, ranks, log p/q, share of the KL; the order is the script's."""
    if token.p == token.q:
        ratio = 0.0
    elif 0 in (token.p, token.q) or math.inf in (token.p, token.q):  # an infinite one is from no run
        ratio = math.inf if token.q == 0 or token.p == math.inf else -math.inf
    else:
        ratio = math.log(token.p / token.q)
    return [
        quoted(token.token),
        page_number(token.p),
        page_number(token.q),
        token.rank_dense,
        token.rank_pruned,
        numbers.signed(ratio),
        numbers.whole_percent(token.kl_share),
    ]


def _worst(path: Sequence[StepRecord]) -> int | None:
    """The step with the largest KL on one shared context; an infinite one is before all."""
    found = [
        (kl, record.step) for record in path if (kl := value(record, "p.kl", Scope.SHARED)) is not None and kl == kl
    ]
    return max(found, key=lambda one: one[0])[1] if found else None
