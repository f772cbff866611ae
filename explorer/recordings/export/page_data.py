"""What the page's script needs of a recording: series for the charts, the table and the words of every step.

Figures are rounded to six significant digits, which is finer than a screen shows; tables hold all of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from explorer.recordings.comparison import labels_of
from explorer.recordings.export.series import series
from explorer.state.columns import Columns
from explorer.words import numbers
from explorer.words import sentences as reading
from explorer.words.figures import Scope, value
from explorer.words.token_text import flowing, quoted
from probes.recording import Session
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord, TopToken
from probes.schema.summary import Summary, summarise

Number = float | str | None
"""A figure as JSON can hold it: "inf", "-inf" and "nan" are text."""


@dataclass(frozen=True, slots=True)
class PageRecording:
    """One recording on the page."""

    label: str
    header: RunHeader
    path: Sequence[StepRecord]
    summary: Summary
    notes: tuple[str, ...]
    data: dict[str, object]
    """What the script reads."""


@dataclass(frozen=True, slots=True)
class PageLine:
    """One series of a chart."""

    key: str
    label: str
    scope: Scope
    style: str
    """"solid", "dashed" or "dotted"; never told apart by colour alone."""


@dataclass(frozen=True, slots=True)
class PageChart:
    """One panel of the page."""

    id: str
    title: str
    unit: str
    lines: tuple[PageLine, ...]
    log: bool = False
    """True draws powers of ten at first."""
    better: str = ""
    """A quiet arrow: which way the pruned model is closer to the dense one."""


def _both(key: str) -> tuple[PageLine, PageLine]:
    return PageLine(key, "shared", Scope.SHARED, "solid"), PageLine(key, "own", Scope.OWN, "dashed")


CHARTS = (
    PageChart("h", "embedding h: cosine", "", _both("h.cos"), better="↑"),
    PageChart(
        "z",
        "logit z: centred cosine",
        "",
        (*_both("z.cos_centred"), PageLine("z.cos", "raw, shared", Scope.SHARED, "dotted")),
        better="↑",
    ),
    PageChart("p", "probability p: cosine", "", _both("p.cos"), better="↑"),
    PageChart(
        "kl",
        "probability p: KL",
        "nat",
        (*_both("p.kl"), PageLine("p.kl_estimate", "Theorem 3, shared", Scope.SHARED, "dotted")),
        log=True,
        better="↓",
    ),
    PageChart("sum", "accumulated: ΣKL", "nat", _both("sum.kl"), better="↓"),
    PageChart(
        "survival",
        "accumulated: survival",
        "",
        (PageLine("sum.survival", "shared", Scope.SHARED, "solid"),),
        log=True,
        better="↑",
    ),
)
READOUT = (
    ("KL", "p.kl"),
    ("TV", "p.tv"),
    ("cos h", "h.cos"),
    ("centred cos z", "z.cos_centred"),
    ("cos p", "p.cos"),
)
"""The figures that stand beside the cursor's step."""


def page_recordings(sessions: Sequence[Session]) -> list[PageRecording]:
    """The recordings of a page, with labels that tell them apart."""
    labels = labels_of([session.path for session in sessions], [session.run for session in sessions])
    return [_entry(session, label) for session, label in zip(sessions, labels, strict=True)]


def _entry(session: Session, label: str) -> PageRecording:
    run = session.run
    path = run.path
    notes = list(session.notes)
    if len(run.branches) > 1:
        notes.append(f"This is one of {len(run.branches)} branches of the recording.")
    if len(session.runs) > 1:
        notes.append(f"This is one of {len(session.runs)} runs in the recording.")
    columns = Columns(path)
    columns.catch_up()
    diverged = columns.diverged is not None
    data: dict[str, object] = {
        "label": flowing(label),
        "steps": len(path),
        "charts": [_chart(chart, path, diverged) for chart in CHARTS],
        "rows": [
            {
                "readout": [[name, _text(record, key)] for name, key in READOUT],
                "choices": [quoted(c.token) if c else numbers.NONE for c in (record.dense, record.pruned)],
                "reading": " ".join(reading.sentences(record, columns.diverges_at)),
                "tables": [[name, [_row(token) for token in top]] for name, top in _tables(record)],
            }
            for record in path
        ],
        "split": path[-1].sum.first_split,
        "worst": _worst(path),
    }
    return PageRecording(label, run.header, path, summarise(path), tuple(notes), data)


def _chart(chart: PageChart, path: Sequence[StepRecord], diverged: bool) -> dict[str, object]:
    """A chart's series; while the contexts never diverge, shared and own are one."""
    lines = [line for line in chart.lines if diverged or line.scope is Scope.SHARED]
    return {
        "id": chart.id,
        "title": chart.title,
        "unit": chart.unit,
        "log": chart.log,
        "better": chart.better,
        "lines": [
            {
                "label": line.label if diverged else line.label.removesuffix("shared").rstrip(", "),
                "style": line.style,
                "values": [_number(one) for one in series(path, line.key, line.scope)],
            }
            for line in lines
        ],
    }


def _number(found: float | None) -> Number:
    if found is None:
        return None
    return float(f"{found:.6g}") if math.isfinite(found) else str(found)


def _text(record: StepRecord, key: str) -> str:
    """A figure in words: on the shared context, and beside it on own contexts, if that differs."""
    shared, own = value(record, key, Scope.SHARED), value(record, key, Scope.OWN)
    write = numbers.cosine if "cos" in key else numbers.significant
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
    elif token.q == 0 or token.p == 0:
        ratio = math.inf if token.q == 0 else -math.inf
    else:
        ratio = math.log(token.p / token.q)
    return [
        quoted(token.token),
        _number(token.p),
        _number(token.q),
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
