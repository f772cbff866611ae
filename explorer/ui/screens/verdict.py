"""The verdict: for which tasks the setting is safe, and how much is lost in each space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.app import ComposeResult
from textual.containers import Vertical

from explorer.state.judge_requests import VerdictChoice
from explorer.state.row_search import Searchable, SearchedRow
from explorer.state.searched_rows import TASKS, searched_task
from explorer.ui.commands import Command
from explorer.ui.messages import RecordingsAsked, ReturnAsked
from explorer.ui.screens.list_page import ListPage
from explorer.ui.screens.verdict_commands import VERDICT_COMMANDS, can_score, is_away
from explorer.ui.widgets.sentence_lines import SentenceLines
from explorer.ui.widgets.space_losses import SpaceLosses
from explorer.ui.widgets.task_sheet import TaskSheet
from explorer.ui.widgets.verdict_table import VerdictTable
from explorer.words.bound_keys import key_of
from explorer.words.verdict_figures import outcomes_sentence
from explorer.words.verdicts import claim_sentence
from probes.schema.errors import FailureKind
from probes.schema.events import Failed
from probes.schema.items import TaskKind
from probes.schema.verdict import Verdict

if TYPE_CHECKING:
    from explorer.ui.copying import Copyable

INVITATION = (
    f"{key_of('score')} scores questions, texts, documents and prompts in both models, and says for which tasks this "
    "setting is "
    f"safe. Stepping goes on meanwhile. {key_of('tasks')} chooses the tasks, or files of your own."
)


class VerdictScreen(ListPage):
    """Shows the verdict on the present setting. It fills while items are scored."""

    HOME = "#verdict"
    AUTO_FOCUS = "#verdict"
    COMMAND_TABLE = VERDICT_COMMANDS

    def regions(self) -> ComposeResult:
        yield SentenceLines("headline", strong=True)
        with Vertical(id="judged"):
            yield VerdictTable()
            yield TaskSheet()
            yield SpaceLosses()

    def show(self) -> None:
        if self.has_models or (self.view.header is not None and not self.view.live):
            self.judging.recall()
        verdict = self.judging.results.verdict
        row = self.row
        self.query_one("#headline", SentenceLines).show(self._headline(verdict))
        table = self.query_one(VerdictTable)
        table.show(verdict, row, self._empty(), scoring=self.judging.scoring)
        table.styles.max_height = max(7, table.count + 3) if not self.zoomed else None
        self.query_one(TaskSheet).show(verdict, row)
        self.query_one(SpaceLosses).show(verdict, row)
        self.show_around("where is it safe?", found=self.search_sentence())

    def copyables(self) -> list[Copyable]:
        from explorer.sources.cited import verdict_command
        from explorer.ui.copyable_parts import with_command

        header, judging = self.view.header, self.judging
        if header is None:
            return super().copyables()
        command = verdict_command(header, judging.results.tasks, judging.judging.margin, judging.judging.level)
        return with_command(super().copyables(), command, "The command line that judges this setting again.")

    @property
    def searchable(self) -> Searchable:
        return TASKS

    @property
    def rows_key(self) -> object:
        return self.judging.results.verdict

    def searched_rows(self) -> Sequence[SearchedRow]:
        return [searched_task(one) for one in self.judging.results.rows]

    @property
    def row(self) -> int:
        return max(0, min(self.judging.row, self.count - 1))

    @property
    def count(self) -> int:
        return len(self.judging.results.rows)

    def keep_row(self, row: int) -> None:
        self.judging.row = row

    @property
    def can_judge(self) -> bool:
        """Are there items, scored here or read from a file?"""
        return self.count > 0 and self.view.work is None

    def why_shut(self) -> str:
        return "" if self.count else "No item is scored yet."

    def why_not(self, command: Command[Any]) -> str:
        if command.when is can_score:
            return self.why_no_models()
        if self.view.work is not None:
            return "The models are busy."
        return "Your own run is shown." if command.when is is_away else self.why_shut()

    def _headline(self, verdict: Verdict | None) -> str:
        if verdict is None or not verdict.rows:
            return "For which tasks is this setting safe?"
        said = outcomes_sentence(verdict)
        if not verdict.final:
            known = f"{said}; the other tasks are not decided" if said else "no task is decided"
            return f"So far, with {verdict.done} of {verdict.of} items, {known}."
        both_sides = 0 < sum(row.kind is TaskKind.GENERATION for row in verdict.rows) < len(verdict.rows)
        return claim_sentence(verdict) if both_sides else f"{said[0].upper()}{said[1:]}."

    def _empty(self) -> str:
        answer = self.judging.judge_answer
        if isinstance(answer, Failed) and (self.view.live or answer.kind is not FailureKind.NEEDS_MODELS):
            return f"{answer.title}. {answer.message} {answer.hint}".strip()
        if self.judging.recalling:
            return "Reading the results …"
        if self.judging.scoring:
            return "The first items are being scored."
        if self.view.failure is not None:
            return f"{self.view.failure.title}. {self.view.failure.message} {self.view.failure.hint}".strip()
        if self.view.header is None:
            return "Reading the results …"
        if not self.view.live:
            more = f" {key_of('leave')}, then {key_of('models')} loads the models." if self.view.revivable else ""
            return f"Scoring items needs the models: a recording holds only the measured steps.{more}"
        return INVITATION

    # Actions.

    def action_score(self) -> None:
        if self.judging.scoring:
            self.judging.stop()
        else:
            self.judging.judge()
        self.show()

    def action_margin(self) -> None:
        from explorer.ui.screens.ask_verdict import AskMargin

        def answered(margin: float | None) -> None:
            if margin is not None:
                self.judging.with_margin(margin)
                self.show()

        verdict = self.judging.results.verdict
        self.app.push_screen(
            AskMargin(verdict.margin if verdict is not None else self.judging.judging.margin), answered
        )

    def action_tasks(self) -> None:
        from explorer.ui.screens.ask_verdict import AskTasks

        def answered(judging: VerdictChoice | None) -> None:
            if judging is not None:
                self.judging.judge(judging)
                self.show()

        from probes.tasks.item_files import shipped_names

        judged = [row.task for row in self.judging.results.rows]
        self.app.push_screen(AskTasks(self.judging.judging, shipped_names(), judged), answered)

    def action_items(self) -> None:
        rows = self.judging.results.rows
        if rows:
            self.show_items(rows[self.row].task)

    def show_items(self, task: str) -> None:
        """Shows the items of a task, if it is judged."""
        from explorer.ui.screens.items import items_screen

        row = next((row for row in self.judging.results.rows if row.task == task), None)
        if row is not None:
            self.app.push_screen(items_screen(row, self._source, self.view, self.judging))

    def action_passages(self) -> None:
        from explorer.ui.screens.passages import PassagesScreen

        self.app.push_screen(PassagesScreen(self._source, self.view, self.judging))

    def action_home(self) -> None:
        self.judging.go_home()
        self.show_main()

    async def action_prune(self) -> None:
        await self._on_main("prune")

    async def action_flip(self) -> None:
        await self._on_main("flip")

    async def _on_main(self, action: str) -> None:
        """Does what the key does on the main screen."""
        from explorer.ui.screens.main import MainScreen

        main = next(screen for screen in self.app.screen_stack if isinstance(screen, MainScreen))
        await main.run_action(action)

    def action_explain(self) -> None:
        self.explain(self.panel.id if self.panel.id in ("losses", "of-task") else "verdict")

    def action_leave(self) -> None:
        """Goes back; from a results file, which has no run behind it, to its sweep or to the list of recordings."""
        if self.zoomed or self.search is not None:
            super().action_leave()
        elif self.view.under is not None and self.view.header is None:
            self.post_message(ReturnAsked())
        elif self.view.header is None:
            self.post_message(RecordingsAsked())
        else:
            super().action_leave()
