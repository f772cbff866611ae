"""The prune screen: cells of a grid are given a method and an amount, dropped or restored; then all is applied."""

from __future__ import annotations

from collections.abc import Callable

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.explain_requests import ExplainRequests, wanted
from explorer.state.heals import heals_by_part
from explorer.state.prune_plan import Draft, Plan
from explorer.state.setting_history import AskedBy, History, SettingHistory
from explorer.state.view import View
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.model_names import model_names
from explorer.ui.screens.page import Page, too_small
from explorer.ui.screens.prunegrid_commands import GRID_COMMANDS
from explorer.ui.theme import palette
from explorer.ui.widgets.before_after import BeforeAfter
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.layer_grid import Heals, LayerGrid
from explorer.ui.widgets.prune_brush import PruneBrush
from explorer.ui.widgets.status import Status
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.explanation import Swaps
from probes.schema.header import PruneReport
from probes.schema.requests import Cancel

MADE_ELSEWHERE = f"made elsewhere, shown as measured; {key_of('prune')} on the main screen makes a pruned model here"
Way = Callable[[Source, View, AskedBy], bool]
"""A way to another setting; returns False if there is none."""


class PruneGrid(Page):
    """Changes a plan cell by cell and applies it; every setting of the sitting can be returned to."""

    HOME = "#layers"
    AUTO_FOCUS = "#layers"
    COMMAND_TABLE = GRID_COMMANDS

    def __init__(self, source: Source, view: View, history: SettingHistory, explaining: ExplainRequests) -> None:
        super().__init__()
        self._source = source
        self._explaining = explaining
        self._view = view
        self._history = history
        self._report: PruneReport | None = None
        self._present = self._plan = Plan()
        self.healing: bool = False
        """Are the cells coloured by heal, and not by what is removed?"""
        self.changed: bool = False
        """Does the plan differ from the present setting?"""

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            with Horizontal(id="grid"):
                yield LayerGrid()
                with Vertical(id="beside"):
                    yield PruneBrush()
                    yield BeforeAfter()
            yield Status(on_main=False)
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        self._history.notice(self._view)
        self._read()
        grid, brush = self.query_one(LayerGrid), self.query_one(PruneBrush)
        grid.show(self._present, self._plan, *self._heals())
        setting = self._plan.setting
        self.changed = setting != self._present.setting
        brush.show(
            grid.selection,
            (str(setting) if setting else "") if self.made_here else with_keys(self, MADE_ELSEWHERE),
            self.changed,
        )
        outcome = self._history.outcome(self._view)
        self.query_one(BeforeAfter).show(outcome, self._history.still_measured(self._view))
        self.query_one(Status).show(self._view)
        self.query_one("#title", Static).update(self._title())
        self._history.draft = Draft(self._report, self._plan) if self.changed and self._report else None
        self.query_one(KeyLine).show(self.key_hints())

    def _heals(self) -> tuple[str, Heals | None]:
        """The grid's title, and the heals if it is coloured by them. They are computed while it is."""
        if not self.healing:
            self._explaining.stop()
            return "layers", None
        view = self._view
        things = [one for one in wanted(view, level="matrix") if one.kind == "swaps"] if view.work is None else []
        self._explaining.want(things)
        refused = next((no.title for one in things if (no := self._explaining.refused(one)) is not None), "")
        step, through = view.explained_steps
        found = [view.finding(Swaps, step, through, level) for level in ("sublayer", "matrix")]
        where = f"steps {step}–{through}" if through is not None else f"step {step}"
        state = f": {refused}" if refused else ": computing …" if view.live else ": not recorded"
        return f"heal at {where}{'' if any(found) else state}", heals_by_part(*found)

    def _read(self) -> None:
        """Reads the plan from the present setting again, if the setting has changed."""
        header = self._view.header
        report = header.prune if header else None
        if report is None or report is self._report or header is None:
            return
        self._report = report
        try:
            self._present = self._plan = Plan.of(report, header.dense.layers)
            left = self._history.draft
            if left is not None and left.report is report:
                self._plan = left.plan
        except BadInput as problem:
            self.notify(problem.message, title=problem.title)

    def _title(self) -> Text:
        colours = palette(self.app.theme)
        header = self._view.header
        if header is None or header.prune is None:
            return Text(" phier", colours.strong)
        setting = self._history.state.present
        name = self._history.saved.name_of(setting) if setting else ""
        saved = f" “{flowing(name)}”" if name else ""
        title = model_names(
            Text(" phier  ", colours.strong),
            header.dense.name,
            header.title,
            self.size.width - cell_len(saved),
            colours,
        )
        return title.append(saved, colours.strong).append(f"  {header.prune.summary}", colours.muted)

    @property
    def ready(self) -> bool:
        """Can another setting be asked for now?"""
        return self._view.live and self._view.work is None

    @property
    def made_here(self) -> bool:
        """Was the pruned model made by a setting? The plan of any other can't be changed."""
        return self._report is not None and bool(self._report.setting)

    @property
    def tried(self) -> History:
        return self._history.state

    # The plan.

    def action_move(self, rows: int, columns: int) -> None:
        self.query_one(LayerGrid).move(rows, columns)
        self.show()

    def action_stretch(self) -> None:
        self.query_one(LayerGrid).stretch()
        self.show()

    def action_column(self) -> None:
        self.query_one(LayerGrid).whole_column()
        self.show()

    def action_paint(self) -> None:
        if not self.made_here:
            return
        grid, treatment = self.query_one(LayerGrid), self.query_one(PruneBrush).treatment
        if treatment.method.structured:
            sublayer = treatment.method.thinned_kind
            parts = {part for part in grid.parts if part.kind == sublayer}
            if not parts:
                self.notify(f"Choose {sublayer} cells.", title=f"{treatment.method} are in the {sublayer} sublayers")
            self._plan = self._plan.thinned(parts, treatment)
        else:
            self._plan = self._plan.treated(grid.names, treatment)
        self.show()

    def action_drop(self) -> None:
        if self.made_here:
            self._plan = self._plan.dropping(self.query_one(LayerGrid).parts)
            self.show()

    def action_restore(self) -> None:
        if self.made_here:
            self._plan = self._plan.restored(self.query_one(LayerGrid).names)
            self.show()

    def action_revert(self) -> None:
        self._plan = self._present
        self.show()

    # The brush.

    def action_amount(self, tenths: int) -> None:
        self.query_one(PruneBrush).slide(tenths / 10)
        self.show()

    def action_nudge(self, up: bool) -> None:
        self.query_one(PruneBrush).nudge(up)
        self.show()

    @on(PruneBrush.Slid)
    def slid(self, message: PruneBrush.Slid) -> None:
        self.query_one(PruneBrush).slide(message.ratio)
        self.show()

    def action_method(self) -> None:
        self.query_one(PruneBrush).next_method()
        self.show()

    def action_pattern(self) -> None:
        self.query_one(PruneBrush).next_pattern()
        self.show()

    # Settings.

    def action_apply(self) -> None:
        setting = self._plan.setting
        if not self.ready or setting == self._present.setting:
            return
        if setting is None:
            self.notify(
                f"Nothing would be pruned. Prune at least one cell, or press {key_of('undo')} for the previous "
                "setting.",
                title="Not applied",
            )
            return
        self._history.ask(self._source, self._view, setting, by="grid")
        self.show()

    def action_undo(self) -> None:
        self._go(self._history.undo, "There is no earlier setting.")

    def action_redo(self) -> None:
        self._go(self._history.redo, "There is no later setting.")

    def action_flip(self) -> None:
        self._go(self._history.flip, "There is no other setting yet.")

    def action_heal(self) -> None:
        if not self.healing and not self._view.cursor:
            self.notify("Nothing is generated yet.", title="Heal")
            return
        self.healing = not self.healing
        self.show()

    def action_keep(self) -> None:
        from explorer.ui.screens.prune import save_setting

        if (setting := self._present.setting) is not None and self.made_here:
            save_setting(self, self._history.saved, setting)

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        self.app.push_screen(ExplanationDialog(explanation_of(self.panel.id or self.HOME[1:])))

    def action_notes(self) -> None:
        from explorer.ui.screens.help import NotesDialog

        if self._view.header is not None:
            self.app.push_screen(NotesDialog(self._view.header))

    def _go(self, way: Way, otherwise: str) -> None:
        if self._plan.setting != self._present.setting:
            self.notify(
                f"{key_of('apply')} applies the change, {key_of('revert')} reverts it.", title="A change is not applied"
            )
        elif self.ready and not way(self._source, self._view, "grid"):
            self.notify(otherwise, title="Settings")
        self.show()

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        elif self._view.work is not None:
            self._source.ask(Cancel())
            self.notify("It stops when the present computation is done.", title="Stopping")
        else:
            self._explaining.stop()
            self.app.pop_screen()
