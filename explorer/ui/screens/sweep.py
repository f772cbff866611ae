"""A sweep: the heat map of settings × tasks, the curves with their knees, and the Pareto view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.sources.kept_sweep import SweepSource
from explorer.sources.source import Source
from explorer.state.row_search import KeptSearches, Searchable, SearchedRow
from explorer.state.searched_rows import CELLS, searched_cells
from explorer.state.sweep_grid import CellState, SweepGrid
from explorer.state.sweep_look import SweepLook, SweepPage
from explorer.state.view import View
from explorer.ui.commands import Command
from explorer.ui.messages import CellOpened, RecordingsAsked
from explorer.ui.screens.page import too_small
from explorer.ui.screens.row_finding import FindingPage
from explorer.ui.screens.sweep_commands import SWEEP_COMMANDS
from explorer.ui.theme import palette
from explorer.ui.widgets.cell_sheet import CellSheet
from explorer.ui.widgets.curve_beside import CurveBeside
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.sentence_lines import SentenceLines
from explorer.ui.widgets.status_line import StatusLine
from explorer.ui.widgets.sweep_curves import SweepCurves
from explorer.ui.widgets.sweep_heat import CellPointed, SweepHeat
from explorer.ui.widgets.sweep_pareto import SweepPareto
from explorer.words.bound_keys import key_of
from explorer.words.sweeps import cliff_sentence, knees_sentence, progress_text
from explorer.words.token_text import flowing
from probes.schema.counting import number_of
from probes.schema.requests import Judge

if TYPE_CHECKING:
    from explorer.ui.copying import Copyable

_PANELS = {SweepPage.HEAT: "#sweep-heat", SweepPage.CURVES: "#sweep-curves", SweepPage.PARETO: "#sweep-pareto"}
_BAR = 24
_AROUND = 5
"""Lines of the title, the headline, the status and the keys."""
_LEAST_BESIDE, _LEAST_COMPACT = 10, 4
"""Lines that the cell keeps below the heat map."""


class SweepScreen(FindingPage):
    """Shows a sweep, and follows it while it runs."""

    HOME = "#sweep-heat"
    AUTO_FOCUS = "#sweep-heat"
    COMMAND_TABLE = SWEEP_COMMANDS

    def __init__(self, source: Source, view: View) -> None:
        super().__init__()
        self._source = source
        self.view: View = view
        self.look: SweepLook = SweepLook()
        self.grid: SweepGrid | None = None
        self._searches = KeptSearches()

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            yield SentenceLines("headline", strong=True)
            with Vertical(id="swept"):
                yield SweepHeat()
                yield SweepCurves()
                yield SweepPareto()
                with Horizontal(id="swept-beside"):
                    yield CellSheet()
                    yield CurveBeside()
            yield StatusLine()
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        read = self.view.sweep
        if read is not None and (self.grid is None or self.grid.read is not read):
            self.grid = SweepGrid(read)
        grid, look = self.grid, self.look
        for page in SweepPage:
            self.set_class(look.page is page, f"-{page.name.lower()}")
        self.query_one("#title", Static).update(self._title())
        self.query_one("#headline", SentenceLines).show(self._headline())
        heat = self.query_one(SweepHeat)
        heat.show(grid, look, self._why_empty())
        least = _LEAST_COMPACT if self.has_class("-compact") else _LEAST_BESIDE
        room = max(5, self.size.height - _AROUND - least)
        heat.styles.height = "1fr" if self.zoomed else min(heat.wanted + 2, room)
        if look.page is SweepPage.CURVES:
            self.query_one(SweepCurves).show(grid, look)
        if look.page is SweepPage.PARETO:
            self.query_one(SweepPareto).show(grid, look)
        cell = look.cell(grid) if grid is not None else None
        self.query_one(CellSheet).show(grid, cell, self.why_shut() or f"{key_of('open')} opens it")
        self.query_one(CurveBeside).show(grid, look)
        self.query_one(StatusLine).show_pieces(self._status())
        self.query_one(KeyLine).show(self.key_hints())

    # What is said.

    def _title(self) -> Text:
        colours, grid = palette(self.app.theme), self.grid
        line = Text(" sweep  ", style=colours.strong, no_wrap=True, overflow="ellipsis", end="")
        if grid is None:
            return line
        header = grid.read.sweep.header
        size = f"{number_of(len(grid.settings), 'setting')} × {number_of(len(grid.tasks), 'task')}"
        seeds = f" × {len(grid.seeds)} seeds" if len(grid.seeds) > 1 else ""
        line.append(flowing(header.dense), colours.dense)
        line.append(f"  {size}{seeds}", colours.text)
        counts = grid.counts
        done, failed, running = (counts[one] for one in (CellState.DONE, CellState.FAILED, CellState.RUNNING))
        line.append(f"  {progress_text(done, failed, running, sum(counts.values()))}", colours.muted)
        return line

    def _headline(self) -> str:
        grid = self.grid
        if grid is None or not grid.settings:
            return "Up to which setting is each task safe?"
        curves = grid.curves_of(grid.family(self.look.row(grid)))
        return f"{knees_sentence(curves)} {cliff_sentence(curves)}".strip() or "Up to which setting is each task safe?"

    def _why_empty(self) -> str:
        failure = self.view.failure
        if failure is not None:
            return f"{failure.title}. {failure.message} {failure.hint}".strip()
        return "Reading the sweep …" if self.grid is None else "The sweep has no cells yet."

    def _status(self) -> Pieces:
        colours, grid = palette(self.app.theme), self.grid
        if found := self.search_sentence():
            return [(f" {found}", colours.muted)]
        if grid is None or grid.final:
            return []
        counts = grid.counts
        of = sum(counts.values())
        done, running = counts[CellState.DONE] + counts[CellState.FAILED], counts[CellState.RUNNING]
        full = round(_BAR * done / of)
        said = progress_text(counts[CellState.DONE], counts[CellState.FAILED], running, of, grid.seconds_left)
        bar: Pieces = [(" ", None), ("━" * full, colours.dense), ("╌" * (_BAR - full), colours.faint)]
        rest = "" if running else "  No program computes it now: the same command goes on with it."
        return [*bar, (f"  {said}", colours.text), (rest, colours.muted)]

    def why_shut(self) -> str:
        """Why ⏎ has no effect on the cell; "" if it has."""
        cell = self.look.cell(self.grid) if self.grid is not None else None
        if cell is None:
            return "There is no cell here."
        if cell.state is CellState.DONE:
            return ""
        return {
            CellState.FAILED: "It failed: there is nothing to open.",
            CellState.RUNNING: "It is being computed.",
            CellState.WAITING: "It is not computed yet.",
        }[cell.state]

    def why_not(self, command: Command[Any]) -> str:
        if command.action == "family":
            return "All settings are of one family."
        return self.why_shut() if command.action == "open" else "There are no cells yet."

    def copyables(self) -> list[Copyable]:
        from explorer.ui.copyable_files import sweep_parts

        parts, source = super().copyables(), self._source
        if self.grid is not None and isinstance(source, SweepSource):
            parts += sweep_parts(self.grid.read.sweep.header, source.path)
        return parts

    # Finding: the cells are searched row by row.

    @property
    def searchable(self) -> Searchable:
        return CELLS

    @property
    def searches(self) -> KeptSearches:
        return self._searches

    @property
    def rows_key(self) -> object:
        return self.grid

    def searched_rows(self) -> Sequence[SearchedRow]:
        return searched_cells(self.grid) if self.grid is not None else []

    @property
    def place(self) -> int:
        grid = self.grid
        return self.look.row(grid) * len(grid.tasks) + self.look.column(grid) if grid is not None else 0

    def go_to_place(self, place: int) -> None:
        if self.grid is not None:
            self._look_at(self.look.at(self.grid, *divmod(place, len(self.grid.tasks))))

    # Actions.

    def _look_at(self, look: SweepLook) -> None:
        self.look = look
        self.show()

    def action_move(self, rows: int, columns: int) -> None:
        if self.grid is not None:
            self._look_at(self.look.moved(self.grid, rows, columns))

    def action_page(self, name: str) -> None:
        if self.zoomed:
            self.close_zoom()
        self._look_at(replace(self.look, page=SweepPage[name]))
        self.query_one(_PANELS[self.look.page]).focus()

    def action_figure(self, step: int) -> None:
        if self.grid is not None and self.look.page is SweepPage.HEAT:
            self._look_at(self.look.next_figure(self.grid, step))

    def action_together(self) -> None:
        if self.look.page is SweepPage.CURVES:
            self._look_at(replace(self.look, together=not self.look.together))

    def action_family(self) -> None:
        if self.search is not None:
            self.find_next()
        elif self.grid is not None:
            self._look_at(self.look.next_family(self.grid))

    def action_knee(self) -> None:
        look = self.look.next_knee(self.grid) if self.grid is not None else None
        if look is not None:
            self._look_at(look)
        else:
            self.notify("No setting of this family is safe for this task, as far as it is computed.", title="Knee")

    def action_margin(self) -> None:
        from explorer.ui.screens.ask_verdict import AskMargin

        grid = self.grid
        if grid is None:
            return

        def answered(margin: float | None) -> None:
            if margin is not None:
                self._source.ask(Judge(margin=margin))

        self.app.push_screen(AskMargin(grid.read.sweep.header.margin), answered)

    def action_open(self) -> None:
        cell = self.look.cell(self.grid) if self.grid is not None else None
        if cell is not None and not self.why_shut():
            self.post_message(CellOpened(cell.setting, cell.task))

    @on(CellPointed)
    def point(self, message: CellPointed) -> None:
        message.stop()
        if self.grid is not None:
            self._look_at(self.look.at(self.grid, message.row, message.column))
            if message.opened:
                self.action_open()

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of(self.panel.id or "sweep-heat")))

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        elif not self.end_search():
            self.post_message(RecordingsAsked())
