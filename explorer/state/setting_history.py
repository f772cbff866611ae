"""Prune settings tried one after another on the same context: what each changed, and the way back to any of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from explorer.sources.source import Source
from explorer.state.outcome import Outcome, stretch
from explorer.state.view import View
from probes.schema.errors import BadInput
from probes.schema.header import RunHeader
from probes.schema.prune_setting import Setting, parse
from probes.schema.record import StepRecord
from probes.schema.requests import Prune

if TYPE_CHECKING:
    from explorer.state.prune_plan import Draft
    from explorer.state.saved_settings import SavedSettings


AskedBy = Literal["settings", "grid", "repair"]
"""A change is asked for as text or on the main screen, layer by layer, or to give back what was found."""


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """Another setting that was asked for, and what was shown at that moment."""

    before: Setting | None
    """None for a model made elsewhere."""
    after: Setting
    cursor: int = 0
    path: Sequence[StepRecord] = ()
    """The steps that the setting before had measured."""
    place: int | None = None
    """The place of `after` in the history if it was returned to; None if it is new."""
    by: AskedBy = "settings"

    def is_about(self, step: int) -> bool:
        """Was it made to mend this step? A repair is for all steps, the grid for the one at the cursor."""
        return self.by == "repair" or (self.by == "grid" and step == self.cursor)


@dataclass(frozen=True, slots=True, eq=False)
class History:
    """The settings tried, in order, and the place of the present one among them."""

    settings: tuple[Setting | None, ...] = ()
    place: int = -1
    previous: int = -1
    """The place of the setting that was shown before this one."""
    asked: Change | None = None
    """The change whose run has not begun yet."""
    change: Change | None = None
    """The change that led to the present setting; None if the run was begun in another way."""

    @property
    def present(self) -> Setting | None:
        return self.at(self.place)

    def at(self, place: int) -> Setting | None:
        """The setting at a place; None if there is none, or the model was made elsewhere."""
        return self.settings[place] if 0 <= place < len(self.settings) else None

    def began(self, setting: Setting | None) -> History:
        """After a run has begun with a setting. A setting that is new takes the place of those undone before it."""
        asked = self.asked if self.asked is not None and self.asked.after == setting else None
        state = replace(self, asked=None if asked else self.asked, change=asked)
        if self.settings and setting == self.present:
            return state
        if asked is not None and asked.place is not None and self.at(asked.place) == setting:
            return replace(state, place=asked.place, previous=self.place)
        kept = self.settings[: self.place + 1]
        return replace(state, settings=(*kept, setting), place=len(kept), previous=self.place)


class SettingHistory:
    """The history of this sitting: asks a source for settings, and compares what each changed."""

    def __init__(self) -> None:
        self.state = History()
        self.begun: list[Setting] = []
        """Every setting that a run has begun with, undone ones too; one that could not be applied is not among them."""
        self.draft: Draft | None = None
        """A plan that was left before it was applied."""
        self._run = 0
        self._outcome: Outcome | None = None
        self._compared = 0
        """Over how many steps the outcome was computed."""

    @cached_property
    def saved(self) -> SavedSettings:
        """The settings saved under names."""
        from explorer.state.saved_settings import SavedSettings

        return SavedSettings()

    def notice(self, view: View) -> None:
        """Takes note of a run that has begun; called whenever the view has changed."""
        if view.header is not None and view.run != self._run:
            self._run, self._outcome = view.run, None
            setting = setting_of(view.header)
            self.state = self.state.began(setting)
            if setting is not None and setting not in self.begun:
                self.begun.append(setting)

    # Asking.

    def ask(
        self, source: Source, view: View, setting: Setting, place: int | None = None, *, by: AskedBy = "settings"
    ) -> None:
        """Asks for the pruned model by a setting, and remembers what is shown now. The cursor stays at its step."""
        change = Change(self.state.present, setting, view.cursor, tuple(view.path), place, by)
        self.state = replace(self.state, asked=change)
        view.keep_cursor()
        source.ask(Prune(setting))

    def undo(self, source: Source, view: View, by: AskedBy = "settings") -> bool:
        """Goes back to the setting before in the history; False if there is none."""
        return self._go(source, view, self.state.place - 1, by)

    def redo(self, source: Source, view: View, by: AskedBy = "settings") -> bool:
        return self._go(source, view, self.state.place + 1, by)

    def flip(self, source: Source, view: View, by: AskedBy = "settings") -> bool:
        """Switches to the setting that was shown before this one, and back; False if there is none."""
        return self._go(source, view, self.state.previous, by)

    def _go(self, source: Source, view: View, place: int, by: AskedBy) -> bool:
        setting = self.state.at(place)
        if setting is not None:
            self.ask(source, view, setting, place, by=by)
        return setting is not None

    # Comparing.

    def outcome(self, view: View) -> Outcome | None:
        """Before and after, once the new setting has measured as many steps; None until then."""
        change = self.state.change
        if change is None or not change.path or not view.newest:
            return None
        path = change.path
        if view.newest < len(path) and (view.running or view.pause is None):
            return None
        steps = min(len(path), view.newest)
        if self._outcome is None or self._compared != steps:
            self._compared = steps
            cursor = min(change.cursor, steps)
            whole = stretch(path[:steps], view.path[:steps])
            at = stretch(path[:cursor], view.path[:cursor])
            self._outcome = Outcome(change.before, change.after, max(len(path), view.newest), whole, cursor, at)
        return self._outcome

    def still_measured(self, view: View) -> tuple[int, int] | None:
        """How many of the steps to compare are measured, and how many there will be; None if nothing is compared."""
        change = self.state.change
        if change is None or not change.path:
            return None
        return min(view.newest, len(change.path)), len(change.path)


def setting_of(header: RunHeader) -> Setting | None:
    """The setting that made the pruned model; None if it was made elsewhere, or by one that can't be read here."""
    try:
        return parse(header.prune.setting) if header.prune and header.prune.setting else None
    except BadInput:
        return None
