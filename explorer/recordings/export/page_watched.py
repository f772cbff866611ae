"""The watched groups on the page: a chart of p and q for each group, and one of the KL over the groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from explorer.recordings.export.series import page_number, series
from explorer.words.figures import Scope
from explorer.words.watched import label_text
from probes.schema.record import StepRecord
from probes.schema.watch import WatchedGroup


def watched_charts(
    groups: Sequence[WatchedGroup], path: Sequence[StepRecord], diverged: bool
) -> Iterator[dict[str, object]]:
    """The charts for the page's script; none if nothing was watched."""
    for place, group in enumerate(groups):
        p, q = f"watched.{place}.p", f"watched.{place}.q"
        lines = [("p", p, Scope.SHARED, "solid"), ("q", q, Scope.SHARED, "dashed")]
        if diverged:
            lines.append(("q, own", q, Scope.OWN, "dotted"))
        yield _chart(f"watched-{place}", f"p and q of {label_text(group.label)}", "", False, path, lines)
    if len(groups) > 1:
        lines = [("", "watched.kl", Scope.SHARED, "solid")]
        yield _chart("watched-kl", "KL over the watched groups", "nat", True, path, lines)


def _chart(
    id_: str,
    title: str,
    unit: str,
    log: bool,
    path: Sequence[StepRecord],
    lines: Sequence[tuple[str, str, Scope, str]],
) -> dict[str, object]:
    return {
        "id": id_,
        "title": title,
        "unit": unit,
        "log": log,
        "better": "↓" if log else "",
        "lines": [
            {"label": label, "style": style, "values": [page_number(one) for one in series(path, key, scope)]}
            for label, key, scope, style in lines
        ],
    }
