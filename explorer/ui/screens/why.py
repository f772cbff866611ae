"""Why this token: which sublayer did it, whether it is computed now or remembered, and what to give back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Static

from explorer.sources.source import Source
from explorer.state.explain_requests import ExplainRequests, Wanted, near_steps, wanted
from explorer.state.heat import Heat
from explorer.state.setting_history import SettingHistory
from explorer.state.view import View
from explorer.state.why_pages import LEVELS, WhyLook, WhyPage
from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.messages import ModelsAsked, SublayerPointed
from explorer.ui.screens.cursor_page import CursorPage
from explorer.ui.screens.model_names import model_names
from explorer.ui.screens.page import too_small
from explorer.ui.screens.why_commands import WHY_COMMANDS, why_not
from explorer.ui.theme import palette
from explorer.ui.widgets.heat_strips import HeatStrips
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.why_lines import PagePointed, WhyHeadline, WhyStatus, WhyTabs
from explorer.ui.widgets.why_sheet import WhySheet
from explorer.ui.widgets.why_shown import missing, sheet_page
from explorer.words.bound_keys import key_of
from explorer.words.changed_setting import before_after, measuring_again
from explorer.words.token_text import quoted
from probes.schema.errors import BadInput
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.schema.repair import Repair
from probes.schema.requests import FindRepair, Pause, Run, Step, SwapLevel

if TYPE_CHECKING:
    from explorer.ui.copying import Copyable


class WhyScreen(CursorPage):
    """Shows the findings that explain the step at the cursor. While it is open, it asks for them."""

    HOME = "#sheet"
    AUTO_FOCUS = "#sheet"
    COMMAND_TABLE = WHY_COMMANDS

    def __init__(self, source: Source, view: View, explaining: ExplainRequests, history: SettingHistory) -> None:
        super().__init__()
        self._source = source
        self.view: View = view
        self.explaining: ExplainRequests = explaining
        self._history = history
        self.page: WhyPage = WhyPage.HEAL
        self._heat = Heat()
        self._chosen: Part | None = None
        self._moved = False
        """True once a person has chosen a sublayer; before, the culprit is chosen."""
        self._held: tuple[Part, ...] = ()
        """The order of the rows when a sublayer was last chosen; they keep it while heals arrive."""
        self._level: SwapLevel = "sublayer"
        self._applied: int | None = None
        """The run that another setting was asked for in, until it has begun a new one or failed."""
        self._back_to = 0
        """The step to return to once the new run has measured it again; 0 if there is none."""

    def compose(self) -> ComposeResult:
        yield Static("", id="title", markup=False)
        with Vertical(id="body"):
            yield WhyHeadline()
            with Horizontal(id="why"):
                yield HeatStrips()
                with Vertical(id="why-right"):
                    yield WhyTabs()
                    yield WhySheet()
            yield WhyStatus()
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        view = self.view
        self._history.notice(view)
        if self._applied != view.run or view.failure is not None:
            self._applied = None
        if self._back_to and self._applied is None and not view.running and view.newest >= self._back_to:
            view.move_to(self._back_to)
            self._back_to = 0
        busy = view.work is not None or self._applied is not None
        things = [] if busy else wanted(view, level=self._level, within=self.inside, shown=self.page.kind)
        self.explaining.want(things)
        look = self.look
        if not self._moved:
            self._chosen = look.culprit or self._chosen
        self.query_one("#title", Static).update(self._title())
        self.query_one(WhyHeadline).show(look, computing=self.explaining.awaits("swaps"))
        layers = Wanted(view.branches.current, "layers", view.cursor)
        refused = self.explaining.refused(layers)
        self.query_one(HeatStrips).show(
            view,
            self._heat,
            self._chosen,
            with_keys(self, missing("layers", look, refused)),
            near_steps(view) if view.live and view.cursor and refused is None else range(0),
        )
        self.query_one(WhyTabs).show(self.page)
        refused = next(
            (found for one in things if one.kind == self.page.kind and (found := self.explaining.refused(one))), None
        )
        self.query_one(WhySheet).show(
            sheet_page(self.page, look, self.explaining, refused, partial(with_keys, self), self._change(), self._held),
            self._chosen if self.inside is None else None,
        )
        self.query_one(WhyStatus).show(view, self.explaining)
        self.query_one(KeyLine).show(self.key_hints())

    def why_not(self, command: Command[WhyScreen]) -> str:
        return why_not(self, command)

    @property
    def look(self) -> WhyLook:
        """The state that the pages show: the view, and one level down the sublayer."""
        return WhyLook(self.view, self._level, self.inside)

    @property
    def inside(self) -> Part | None:
        """The sublayer whose pieces are listed; None if whole sublayers are."""
        return self._chosen if self._level != "sublayer" and self.page is WhyPage.HEAL else None

    @property
    def repair(self) -> Repair | None:
        """The repair that was found, of the latest search or of the recording."""
        return self.look.repair(self.explaining.asked_repair)

    def _change(self) -> str:
        """What the last change of the setting did, at the step at the cursor and over all; "" if it was about another
        one."""
        view, change = self.view, self._history.state.change
        measured, outcome = self._history.still_measured(view), self._history.outcome(view)
        if change is None or measured is None or not change.is_about(view.cursor):
            return ""
        if outcome is None:
            return measuring_again(*measured)
        if not 0 < view.cursor <= min(measured):
            return ""
        whole = outcome.whole
        old, new = change.path[view.cursor - 1], view.path[view.cursor - 1]
        return before_after(whole.steps, whole.before, whole.after, old, new)

    def _title(self) -> Text:
        colours, view = palette(self.app.theme), self.view
        header, record = view.header, view.record
        if header is None or record is None:
            return Text(" why", colours.strong)
        span = view.span
        where = f"why step {record.step}" if span is None else f"why steps {span[0]}–{span[1]}"
        choices = ""
        if span is None and record.dense is not None and record.pruned is not None:
            a, b = quoted(record.dense.token), quoted(record.pruned.token)
            choices = f": {a} against {b}" if record.dense.token_id != record.pruned.token_id else f": {a} in both"
        place = f"step {view.cursor}/{view.newest}"
        verdict = view.results.present.verdict
        scored = f"verdict {verdict.done}/{verdict.of}  " if verdict is not None and not verdict.final else ""
        title = Text.assemble(
            (f" {where}{choices}  ", colours.strong),
            (f"{place}  ", colours.text),
            (scored, colours.muted),
            ("" if view.live else "recording  ", colours.muted),
        )
        return model_names(title, header.dense.name, header.title, self.size.width, colours)

    def copyables(self) -> list[Copyable]:
        from explorer.sources.cited import explain_command
        from explorer.ui.copyable_parts import with_command

        view, header = self.view, self.view.header
        if header is None:
            return super().copyables()
        command = explain_command(header, view.path, *view.explained_steps)
        return with_command(super().copyables(), command, "The command line that explains this step, or the span.")

    # The span and the run.

    def action_mark(self, first: bool) -> None:
        self.view.mark(first=first)
        self.show()

    def action_run(self) -> None:
        self._source.ask(Pause() if self.view.running else Run())

    def action_step(self) -> None:
        if not self.find_next():
            self._source.ask(Step())

    # What is shown.

    def action_page(self, place: int) -> None:
        self.page = list(WhyPage)[place - 1]
        self._level = "sublayer"
        self.show()

    def action_space(self) -> None:
        self._heat = self._heat.next_space
        self.show()

    def action_of(self) -> None:
        self._heat = self._heat.other
        self.show()

    def action_row(self, rows: int) -> None:
        sheet = self.query_one(WhySheet)
        parts = sheet.parts
        if self.inside is not None or not parts:
            sheet.scroll_rows(rows)
            return
        at = parts.index(self._chosen) if self._chosen in parts else 0
        self._chosen, self._moved = parts[max(0, min(at + rows, len(parts) - 1))], True
        self._held = tuple(parts) if self.page is WhyPage.HEAL else ()
        self.show()

    @on(SublayerPointed)
    def point(self, message: SublayerPointed) -> None:
        message.stop()
        self._chosen, self._moved = message.part, True
        self._held = tuple(self.query_one(WhySheet).parts) if self.page is WhyPage.HEAL else ()
        if message.step is not None:
            self.view.move_to(message.step)
        self.show()

    @on(PagePointed)
    def turn(self, message: PagePointed) -> None:
        message.stop()
        self.action_page(message.place)

    def action_enter(self) -> None:
        """One level down on the page of heals, and back up from the lowest; applies on the page of repairs."""
        if self.page is WhyPage.REPAIR:
            self.action_apply()
        elif self.page is WhyPage.HEAL and self._chosen is not None:
            self._level = self.look.next_level
            self.show()
        elif self.page is WhyPage.LAYERS:
            self.action_page(1)

    # What to give back.

    def action_repair(self) -> None:
        from explorer.ui.screens.repair import AskRepair

        def answered(request: FindRepair | None) -> None:
            if request is not None:
                self.explaining.repair(request)
                self.action_page(list(WhyPage).index(WhyPage.REPAIR) + 1)

        self.app.push_screen(AskRepair(*self.look.span, self.view), answered)

    def action_apply(self) -> None:
        """Prunes by the setting that gives back what was found. The main screen compares before and after."""
        found = self.repair
        if found is None or not self.can_prune:
            return
        try:
            setting = parse(found.setting)
        except BadInput as problem:
            self.notify(f"{problem.message} {problem.hint}", title=problem.title)
            return
        self.explaining.cancel_repair()
        self.explaining.stop()
        self._applied, self._back_to = self.view.run, self.view.cursor
        self.view.failure = None
        self.view.following = False  # the step that is explained stays under the cursor while it is measured again
        self._history.ask(self._source, self.view, setting, by="repair")
        self.notify(f"{key_of('grid')} (layers) on the main screen compares before and after.", title="Applied")
        self.show()

    @property
    def can_prune(self) -> bool:
        return self.view.live and self.view.work is None

    # Help and leaving.

    def action_retry(self) -> None:
        self.explaining.retry()
        self.show()

    def action_models(self) -> None:
        self.explaining.stop()
        self.post_message(ModelsAsked())

    def action_explain(self) -> None:
        from explorer.ui.screens.help import ExplanationDialog
        from explorer.words.explanations import explanation_of

        panel = "heat" if self.panel.id == "heat" else f"why-{self.page.name.lower()}"
        self.app.push_screen(ExplanationDialog(explanation_of(panel)))

    def action_leave(self) -> None:
        if self.zoomed:
            self.close_zoom()
        elif self.explaining.cancel_repair():
            self.show()
        elif self._level != "sublayer":
            self._level = LEVELS[LEVELS.index(self._level) - 1]
            self.show()
        else:
            self.explaining.stop()
            self.app.pop_screen()
