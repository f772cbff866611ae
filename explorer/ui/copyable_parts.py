"""The parts of a screen that can be copied: of the panel under focus, of the run, and the screen itself."""

from __future__ import annotations

import json
import math
import re
import shlex
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from textual.widget import Widget

from explorer.sources.chosen import Chosen
from explorer.sources.cited import python_lines, run_command
from explorer.sources.program import program
from explorer.sources.source import Source
from explorer.state.view import View
from explorer.ui.copying import PANEL, Copyable
from explorer.ui.widgets.next_tokens import NextTokens
from explorer.ui.widgets.row_list import RowList
from explorer.ui.widgets.space_panel import SpacePanel
from explorer.words.charts import charts
from explorer.words.figures import Scope
from probes.schema.flat_step import to_jsonable
from probes.schema.record import StepRecord, TopToken
from probes.schema.summary import log_ratio

if TYPE_CHECKING:
    from explorer.ui.app import ExplorerApp

OPENS = "The command line that opens this file here, at this run."
NO_STEP = "Nothing is generated yet."
NO_MODELS = "The header of this run does not name its models."
NO_COMMAND = "Tokens were forced on this path, for which no command has an option. The Python lines (l) force them."


def panel_parts(panel: Widget) -> list[Copyable]:
    """The panel under focus, and the chosen row of a table."""
    copied = getattr(panel, "copy_text", None)
    about = "The panel under focus as text; figures and tables are tab-separated."
    stem = panel.id or "panel"
    parts = [Copyable(PANEL, "the panel", about, copied or (lambda: ""), stem)]
    if isinstance(panel, RowList):
        parts.append(Copyable("r", "the row", "The chosen row.", panel.row_text, f"{stem}-row"))
    return parts


def run_parts(view: View, panel: Widget, source: Source) -> list[Copyable]:
    """What the step at the cursor and the run have; empty without a run."""
    header, record, at = view.header, view.record, f"step{view.cursor}"
    if header is None:
        return []
    path = view.path[: view.cursor]
    whole = path if any(_forced_texts(view.path)) else view.path  # what comes before a forced token can be named
    taken = (record.taken or record.dense or record.pruned) if record is not None else None
    steps = f"all {len(whole)} steps" if len(whole) > 1 else "1 step"
    shown = f"the command ({steps if len(whole) == view.newest else f'steps 1 to {len(whole)}'})"
    shown = "the command (none: forced tokens)" if any(_forced_texts(path)) else shown
    parts = [
        Copyable("t", "the token", "The token at the cursor, as it is.", lambda: taken.token if taken else "", at),
    ]
    if isinstance(panel, NextTokens):
        parts.append(
            Copyable("r", "the row", "The chosen row of the table.", lambda: tokens_table([*_chosen(panel)]), at)
        )
    parts += [
        Copyable(
            "b",
            "the table",
            "The next-token table of this step, tab-separated, in full digits.",
            lambda: tokens_table(panel.rows if isinstance(panel, NextTokens) else _top(view)),
            f"{at}-tokens",
            "tsv",
        ),
        Copyable(
            "s",
            "the series",
            "The charts of the panel under focus over the steps, tab-separated; of other panels the KL.",
            lambda: series_table(view, panel),
            "series",
            "tsv",
        ),
        Copyable("j", "the step", "All figures of the step, as JSON.", partial(_json, record), at, "json"),
        Copyable(
            "c",
            shown,
            "The command line that measures the run again and prints its steps, also those after the cursor.",
            lambda: _line(run_command(header, whole)),
            "command",
            "sh",
            why_not=NO_STEP if record is None else NO_COMMAND if header.dense.spec else NO_MODELS,
        ),
        Copyable(
            "l",
            "the Python lines",
            "A script that measures these steps again, forced tokens too, and prints the figures of this one.",
            lambda: python_lines(header, path) if path else "",
            at,
            "py",
            why_not=NO_MODELS if path else NO_STEP,
        ),
    ]
    if (file := file_of(source, view)) is not None:
        parts.append(Copyable("o", "the command that opens it", OPENS, lambda: f"{file}\n", "open", "sh"))
    return parts


def screen_parts(app: ExplorerApp) -> list[Copyable]:
    """The whole screen."""
    return [
        Copyable(
            "a", "the screen as text", "All that is on the screen, as lines.", partial(screen_lines, app), "screen"
        ),
        Copyable(
            "p",
            "a picture (SVG)",
            "A picture of the screen, in a file.",
            partial(screen_picture, app),
            "screen",
            "svg",
            in_file=True,
        ),
    ]


def with_command(parts: Sequence[Copyable], command: str, about: str) -> list[Copyable]:
    """The same with another command, which shows more of what this screen shows than the run alone."""
    return [
        replace(one, name="the command", about=about, text=lambda: _line(command)) if one.key == "c" else one
        for one in parts
    ]


def file_of(source: Source, view: View) -> str | None:
    """The command that opens the run that is shown, of the file of a source; None if it has none."""
    playback = getattr(source, "path", None)
    recorder = getattr(source, "recorder", None)
    path = playback or getattr(recorder, "path", None)
    if path is None:
        return None
    shown = view.playback
    run = view.run if shown is None else shown.shown if len(shown.runs) > 1 else None
    return shlex.join([program("phier-tui"), str(Chosen(path, run))])


def tokens_table(rows: Sequence[TopToken]) -> str:
    """Rows of the next-token table with a head, tab-separated. A token is a JSON string, which stays in its cell."""
    if not rows:
        return ""
    head = ("token_id", "token", "p", "q", "z_dense", "z_pruned", "rank_dense", "rank_pruned", "log_ratio", "kl_share")
    lines = ["\t".join(head)]
    for row in rows:
        token = json.dumps(row.token, ensure_ascii=False)
        values = (row.p, row.q, row.z_dense, row.z_pruned, row.rank_dense, row.rank_pruned)
        last = (log_ratio(row.p, row.q), row.kl_share)
        lines.append("\t".join([str(row.token_id), token, *map(_number, (*values, *last))]))
    return "\n".join(lines) + "\n"


def series_table(view: View, panel: Widget) -> str:
    """The figures of a panel's charts over the steps, tab-separated; after the texts have diverged also of each model
    on its own text. A figure that a step has not is empty."""
    if not view.newest:
        return ""
    kinds = panel.space.charts if isinstance(panel, SpacePanel) else charts("p.kl")
    scopes = (Scope.SHARED, Scope.OWN) if view.diverged else (Scope.SHARED,)
    named = [
        (f"{scope.value}.{kind.key}" if len(scopes) > 1 else kind.key, kind.key, scope)
        for kind in kinds
        for scope in scopes
    ]
    columns = [view.columns.get(key, scope) for _, key, scope in named]
    lines = ["\t".join(["step", *(name for name, _, _ in named)])]
    for index in range(view.newest):
        values = [column.at(index) for column in columns]
        lines.append("\t".join([str(index + 1), *("" if value is None else _number(value) for value in values)]))
    return "\n".join(lines) + "\n"


def screen_picture(app: ExplorerApp) -> str:
    """The screen as SVG. It names fonts that are there and fetches none."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", app.export_screenshot(title="phier"))
    return svg.replace("Fira Code", "DejaVu Sans Mono").replace("<text ", '<text xml:space="preserve" ')


def screen_lines(app: ExplorerApp) -> str:
    """The screen as plain lines."""
    lines = [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]
    return "\n".join(lines).strip("\n") + "\n"


def _chosen(panel: NextTokens) -> list[TopToken]:
    return [panel.chosen] if panel.chosen is not None else []


def _top(view: View) -> Sequence[TopToken]:
    record = view.record
    compared = (record.shared or record.own) if record is not None else None
    return compared.top if compared is not None else ()


def _forced_texts(path: Sequence[StepRecord]) -> list[bool]:
    return [one.forced for record in path for one in (record.taken, record.taken_pruned) if one is not None]


def _json(record: Any) -> str:
    return "" if record is None else json.dumps(to_jsonable(record), ensure_ascii=False) + "\n"


def _line(command: str) -> str:
    return f"{command}\n" if command else ""


def _number(value: float) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return repr(value)
