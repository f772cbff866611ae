"""The main screen's actions that open a dialog. Each dialog is imported when it is needed."""

from __future__ import annotations

from pathlib import Path

from explorer.sources.source import Source
from explorer.state.explain_requests import ExplainRequests
from explorer.state.judge_requests import JudgeRequests
from explorer.state.setting_history import SettingHistory
from explorer.state.view import Under
from explorer.ui.messages import ModelsAsked, RecordingsAsked, RecordingSaved, ReturnAsked
from explorer.ui.screens.cursor_page import CursorPage
from explorer.words.bound_keys import key_of
from explorer.words.defaults import with_context
from explorer.words.token_text import quoted
from probes.schema.branches import Branch
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.requests import Fork, Restart, Run, Select, ShowRun, Token
from probes.schema.settings import Follow, RunSettings


class MainActions(CursorPage):
    """A screen with a source to send requests to and a view to show."""

    source: Source
    history: SettingHistory
    explaining: ExplainRequests
    judging: JudgeRequests
    untils: tuple[str, ...] = ()
    """Recent conditions, the latest first."""
    settings_asked: tuple[Setting, ...] = ()
    """Recent prune settings, the latest first."""

    def ask_fork(self, forced: Token, token: str, record: StepRecord) -> None:
        """Forks with a token at a step of the shown path. In `free`, while both models write, it asks on which text."""
        step = record.step
        if step > self.view.newest or self.view.path[step - 1] is not record:
            return  # another run or branch is shown by now
        valid = record.invalid is None  # at an invalid step a token may be missing because its model computed none
        if self.view.follow is not Follow.FREE or (valid and record.taken_pruned is None):
            self._fork(step, dense=forced)
            return
        if valid and record.taken is None:
            self._fork(step, pruned=forced)
            return
        from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice

        def answered(way: str | None) -> None:
            if way is not None:
                self._fork(step, dense=forced if way in "db" else None, pruned=forced if way in "pb" else None)

        self.app.push_screen(
            ChoiceDialog(
                "Fork",
                f"Force {quoted(token)} at step {step} on which text? The present branch is kept.",
                (
                    DialogChoice("b", "both texts", "Both models continue from the same forced token."),
                    DialogChoice("d", "the dense text", "The pruned model chooses for itself."),
                    DialogChoice("p", "the pruned text", "The dense model chooses for itself."),
                ),
            ),
            answered,
        )

    def _fork(self, step: int, dense: Token | None = None, pruned: Token | None = None) -> None:
        """Forks. If a branch takes these tokens here already, it is shown instead."""
        branches = self.view.branches
        same = branches.that_takes(step, dense, pruned)
        if same is None:
            self.source.ask(Fork(step, dense, pruned))
        elif same == branches.current:
            self.notify(f"This text already takes that token at step {step}. Choose another one.", title="Fork")
        else:
            self.notify(f"Branch {same} already takes that token at step {step}. Now showing it.", title="Fork")
            self.source.ask(Select(same))

    def action_force(self) -> None:
        """Forks with a typed token."""
        from explorer.ui.screens.force import AskToken

        record = self.view.record
        if record is None:
            return

        def answered(token: str | None) -> None:
            if token:
                self.ask_fork(token, token, record)

        self.app.push_screen(AskToken(record.step), answered)

    def action_until(self) -> None:
        from explorer.ui.screens.until import AskUntil

        def answered(condition: str | None) -> None:
            if condition:
                self.untils = (condition, *(other for other in self.untils if other != condition))[:12]
                self.view.follow_newest()
                self.source.ask(Run((condition,)))

        self.app.push_screen(AskUntil(self.untils, len(self.view.watch)), answered)

    def action_follow(self) -> None:
        from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice

        ways = (
            DialogChoice(
                "d", "dense", "Both models read the dense text: the effect of pruning alone, on the dense path."
            ),
            DialogChoice(
                "p",
                "pruned",
                "Both models read the pruned text: the effect of pruning alone, on the path of a deployment.",
            ),
            DialogChoice("f", "free", "Each reads its own: what a user sees; shared damage and drift are shown apart."),
            DialogChoice("t", "text", "Both models read a text you give: scoring, no sampling."),
        )
        modes = {mode.value[0]: mode for mode in Follow}

        def answered(way: str | None) -> None:
            if way is None:
                return
            if modes[way] is Follow.TEXT:
                self.action_settings(Follow.TEXT)
            elif modes[way] is not self.view.follow:
                header = self.view.header
                if header is not None:
                    settings = header.settings
                    self.source.ask(Restart(with_context(settings, modes[way], settings.text)))

        question = "Which text does each model read? The run starts again on the same prompt."
        self.app.push_screen(ChoiceDialog("Context", question, ways, self.view.follow.value[0]), answered)

    def action_prompt(self) -> None:
        from explorer.ui.screens.prompt import AskPrompt

        def answered(settings: RunSettings | None) -> None:
            if settings is not None:
                self.source.ask(Restart(settings))

        header = self.view.header
        if header is None:
            return
        if self.view.live:
            self.app.push_screen(AskPrompt(self.source, self.view, header.settings, self.judging.home), answered)
            return
        from explorer.ui.screens.prompt_tokens import PromptTokens

        self.app.push_screen(PromptTokens(self.source, self.view, header.settings))

    def action_settings(self, follow: Follow | None = None) -> None:
        from explorer.ui.screens.settings import AskSettings

        def answered(settings: RunSettings | None) -> None:
            if settings is not None:
                self.source.ask(Restart(settings))

        if self.view.header is not None:
            self.app.push_screen(AskSettings(self.view.header.settings, follow), answered)

    def action_prune(self) -> None:
        from explorer.ui.screens.prune import AskSetting

        def answered(setting: Setting | None) -> None:
            if setting is not None:
                self.settings_asked = (setting, *(s for s in self.settings_asked if s != setting))[:12]
                self.history.ask(self.source, self.view, setting)

        if self.view.header is not None:
            present = self.history.state.present
            earlier = [setting for setting in self.settings_asked if setting in self.history.begun]
            self.app.push_screen(AskSetting(present, earlier, self.history.saved, self.view.header.dense), answered)

    def action_keep(self) -> None:
        """Saves the prune setting under a name."""
        from explorer.ui.screens.prune import save_setting

        if (setting := self.history.state.present) is not None:
            save_setting(self, self.history.saved, setting)

    def action_grid(self) -> None:
        from explorer.ui.screens.prunegrid import PruneGrid

        self.app.push_screen(PruneGrid(self.source, self.view, self.history, self.explaining))

    def action_why(self) -> None:
        """Explains the step at the cursor."""
        from explorer.ui.screens.why import WhyScreen

        self.app.push_screen(WhyScreen(self.source, self.view, self.explaining, self.history))

    def action_verdict(self) -> None:
        """Says for which tasks the setting is safe; after an item was opened, it comes back to the list of items."""
        from explorer.ui.screens.verdict import VerdictScreen

        if self.view.under is Under.ITEMS:
            self.post_message(ReturnAsked())
            return
        verdict = VerdictScreen(self.source, self.view, self.judging)
        self.app.push_screen(verdict)
        if self.judging.open_task:
            verdict.show_items(self.judging.open_task)

    def action_passages(self) -> None:
        """Searches for passages where the models differ."""
        from explorer.ui.screens.passages import PassagesScreen

        self.app.push_screen(PassagesScreen(self.source, self.view, self.judging))

    def action_watched(self) -> None:
        """Shows the watched tokens over the steps."""
        from explorer.ui.screens.watching import WatchScreen

        self.app.push_screen(WatchScreen(self.source, self.view))

    def action_flip(self) -> None:
        if not self.history.flip(self.source, self.view):
            self.notify("There is no other prune setting yet.", title="Flip")

    def action_branches(self) -> None:
        from explorer.ui.screens.branches import AskBranch, OtherRun

        playback = self.view.playback
        others: list[OtherRun] = []
        note = f"Earlier runs are in the list of recordings ({key_of('recordings')})." if self.view.run > 1 else ""
        if playback is not None:
            others = [OtherRun(place, line) for place, line in playback.runs if place != playback.shown]
            note = f"This is run {playback.shown} of the recording." if others else ""

        def answered(chosen: Branch | OtherRun | None) -> None:
            if isinstance(chosen, OtherRun):
                self.source.ask(ShowRun(chosen.place))
            elif isinstance(chosen, Branch) and chosen.id != self.view.branches.current:
                self.source.ask(Select(chosen.id))

        self.app.push_screen(AskBranch(self.view.branches, others, note), answered)

    def action_notes(self) -> None:
        from explorer.ui.screens.help import NotesDialog

        if self.view.header is not None:
            self.app.push_screen(NotesDialog(self.view.header))

    def action_recordings(self) -> None:
        self.post_message(RecordingsAsked())

    def action_save(self) -> None:
        from explorer.ui.screens.save import AskPath

        def answered(path: Path | None) -> None:
            if path is not None:
                self.post_message(RecordingSaved(path))

        self.app.push_screen(AskPath(), answered)

    def action_models(self) -> None:
        self.post_message(ModelsAsked())
