"""Pruning layer by layer: cells are given a method and an amount, dropped or restored, then applied and compared."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.prune_plan import Draft, Plan
from explorer.state.setting_history import SettingHistory
from explorer.state.view import View
from explorer.ui.screens.page import Page, too_small
from explorer.ui.theme import palette
from explorer.ui.widgets.before_after import BeforeAfter
from explorer.ui.widgets.key_line import KeyHint, KeyLine
from explorer.ui.widgets.layer_grid import LayerGrid
from explorer.ui.widgets.prune_brush import PruneBrush
from explorer.ui.widgets.status import Status
from explorer.words.token_text import flowing
from probes.schema.errors import BadInput
from probes.schema.header import PruneReport
from probes.schema.requests import Cancel

MADE_ELSEWHERE = "made elsewhere, shown as measured; x on the main screen makes a pruned model here"
Way = Callable[[Source, View], bool]
"""A way to another setting; False where it leads nowhere."""


HELP = (
    ("← → ↑ ↓", "Choose a cell; a column is a sublayer, or one of its matrices."),
    ("r", "Begins a range at the cursor, or lets go of it."),
    ("a", "Takes every layer of the column."),
    ("space", "Gives what is chosen the method and amount beside."),
    ("d", "Drops the sublayers that are chosen."),
    ("0", "Gives what is chosen its dense weights back."),
    ("1–9 + −", "The amount: so many tenths, or 0.05 more or less; the slider takes the mouse."),
    ("p", "An N:M pattern instead of a ratio, the next one each time."),
    ("m", "The next method."),
    ("⏎", "Applies the change: the same context is measured again."),
    ("⌫", "Reverts what is not applied."),
    ("u U", "Undo and redo: the settings of this sitting, exactly."),
    ("v", "Flips between the last two settings."),
    ("k", "Keeps the setting under a name; x on the main screen lists those."),
    ("z", "Opens the panel under focus; Tab moves the focus."),
    ("y", "Copies the panel under focus."),
    ("F1", "Explains the panel under focus."),
    ("!", "Shows all notes and warnings of the run again."),
    ("Esc", "Back; while something is computed, stops it. What is not applied is still here later."),
)


class PruneGrid(Page):
    """The plan is only text until it is applied; every setting of the sitting can be gone back to."""

    HOME = "#layers"
    AUTO_FOCUS = "#layers"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1, 0)", show=False),
        Binding("down", "move(1, 0)", show=False),
        Binding("pageup", "move(-10, 0)", show=False),
        Binding("pagedown", "move(10, 0)", show=False),
        Binding("home", "move(-1000, 0)", show=False),
        Binding("end", "move(1000, 0)", show=False),
        Binding("left", "move(0, -1)", show=False),
        Binding("right", "move(0, 1)", show=False),
        Binding("a", "column", show=False),
        Binding("r", "stretch", show=False),
        Binding("space", "paint", show=False),
        Binding("d", "drop", show=False),
        Binding("0", "restore", show=False),
        *(Binding(str(digit), f"amount({digit})", show=False) for digit in range(1, 10)),
        Binding("plus,equals_sign", "nudge(True)", show=False),
        Binding("minus", "nudge(False)", show=False),
        Binding("m", "method", show=False),
        Binding("p", "pattern", show=False),
        Binding("backspace", "revert", show=False),
        Binding("enter", "apply", show=False),
        Binding("u", "undo", show=False),
        Binding("U,shift+u", "redo", show=False),
        Binding("v", "flip", show=False),
        Binding("k", "keep", show=False),
        Binding("question_mark", "keys", show=False),
        Binding("exclamation_mark", "notes", show=False),
        Binding("f1", "explain", show=False),
        Binding("z", "zoom", show=False),
        Binding("y", "copy", show=False),
        Binding("t", "app.next_theme", show=False),
        Binding("escape", "leave", show=False),
        Binding("q", "app.quit", show=False),
    ]

    def __init__(self, source: Source, view: View, history: SettingHistory) -> None:
        super().__init__()
        self._source = source
        self._view = view
        self._history = history
        self._report: PruneReport | None = None
        self._present = self._plan = Plan()

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            with Horizontal(id="grid"):
                yield LayerGrid()
                with Vertical(id="beside"):
                    yield PruneBrush()
                    yield BeforeAfter()
            yield Status()
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        self._history.notice(self._view)
        self._read()
        grid, brush = self.query_one(LayerGrid), self.query_one(PruneBrush)
        grid.show(self._present, self._plan)
        setting = self._plan.setting
        changed = setting != self._present.setting
        brush.show(grid.told, (str(setting) if setting else "") if self._made_here else MADE_ELSEWHERE, changed)
        outcome = self._history.outcome(self._view)
        self.query_one(BeforeAfter).show(outcome, self._history.still_measured(self._view))
        self.query_one(Status).show(self._view)
        self.query_one("#title", Static).update(self._title())
        self._history.draft = Draft(self._report, self._plan) if changed and self._report else None
        self.query_one(KeyLine).show(self._keys(changed))

    def _read(self) -> None:
        """Begins anew from the present setting where that has changed."""
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
        return Text.assemble(
            (" phier  ", colours.strong),
            (flowing(header.dense.name), colours.dense),
            (" ⇄ ", colours.muted),
            (flowing(header.title), colours.pruned),
            (f" “{flowing(name)}”" if name else "", colours.strong),
            (f"  {header.prune.summary}", colours.muted),
            no_wrap=True,
            overflow="ellipsis",
        )

    def _keys(self, changed: bool) -> list[KeyHint]:
        history, ready = self._history.state, self._ready
        return [
            KeyHint("space", "paint", "paint", self._made_here),
            KeyHint("d", "drop", "drop", self._made_here),
            KeyHint("0", "restore", "restore", self._made_here),
            KeyHint("⏎", "apply", "apply", changed and ready),
            KeyHint("1–9 + −", "amount", ""),
            KeyHint("m", "method", "method"),
            KeyHint("Esc", "back", "leave"),
            KeyHint("?", "keys", "keys"),
            KeyHint("p", "N:M", "pattern"),
            KeyHint("r", "range", "stretch"),
            KeyHint("a", "all layers", "column"),
            KeyHint("u", "undo", "undo", ready and history.place > 0),
            KeyHint("U", "redo", "redo", ready and history.place + 1 < len(history.settings)),
            KeyHint("v", "flip", "flip", ready and len(history.settings) > 1),
            KeyHint("k", "keep", "keep", self._made_here),
            KeyHint("⌫", "revert", "revert", changed),
        ]

    @property
    def _ready(self) -> bool:
        return self._view.live and self._view.work is None

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

    @property
    def _made_here(self) -> bool:
        return self._report is not None and bool(self._report.setting)

    def action_paint(self) -> None:
        if not self._made_here:
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
        if self._made_here:
            self._plan = self._plan.dropping(self.query_one(LayerGrid).parts)
            self.show()

    def action_restore(self) -> None:
        if self._made_here:
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
        if not self._ready or setting == self._present.setting:
            return
        if setting is None:
            self.notify(
                "A pruned model needs something pruned. u goes back to an earlier setting.", title="Nothing left"
            )
            return
        self._history.ask(self._source, self._view, setting)
        self.show()

    def action_undo(self) -> None:
        self._go(self._history.undo, "There is no earlier setting.")

    def action_redo(self) -> None:
        self._go(self._history.redo, "There is no later setting.")

    def action_flip(self) -> None:
        self._go(self._history.flip, "There is no other setting so far.")

    def action_keep(self) -> None:
        from explorer.ui.screens.prune import save_setting

        if (setting := self._present.setting) is not None and self._made_here:
            save_setting(self, self._history.saved, setting)

    def action_keys(self) -> None:
        from explorer.ui.screens.help import KeysDialog

        self.app.push_screen(KeysDialog([(key, does, True) for key, does in HELP]))

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
            self.notify("⏎ applies the change, ⌫ reverts it.", title="A change is not applied")
        elif self._ready and not way(self._source, self._view):
            self.notify(otherwise, title="Settings")
        self.show()

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        elif self._view.work is not None:
            self._source.ask(Cancel())
            self.notify("It stops as soon as what is being computed is done.", title="Stopping")
        else:
            self.app.pop_screen()
