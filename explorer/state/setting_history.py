"""Prune settings tried one after another on the same context: what each changed, and the way back to any of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from explorer.sources.source import Source
from explorer.state.view import View
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.summary import Summary, summarise

if TYPE_CHECKING:
    from explorer.state.prune_plan import Draft
    from explorer.state.saved_settings import SavedSettings


@dataclass(frozen=True, slots=True)
class Stretch:
    """The same steps of one context before and after a change."""

    steps: int
    """How many; those of which one of the two settings has no figures are left out."""
    before: Summary
    after: Summary
    own: tuple[float, float] | None
    """ΣKL of each model on its own text before and after, over the steps that have it; None if both share one."""

    @property
    def verdict(self) -> str:
        """Is the pruned model now closer to the dense one, by ΣKL on the shared context?"""
        old, new = self.before.kl_local_sum, self.after.kl_local_sum
        if math.isnan(old) or math.isnan(new):
            return "undefined"
        return "no change" if old == new else "better" if new < old else "worse"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A setting against the one before it, over the steps that both have measured."""

    before: str
    after: str
    of: int
    """Steps that one of the two has measured at least; above `whole.steps` if the other was interrupted or ended."""
    whole: Stretch
    cursor: int
    """Where the cursor was when the change was asked for."""
    at: Stretch
    """Up to that cursor."""


class SettingHistory:
    """The settings of this sitting, in the order they were tried, and where among them the present one is."""

    def __init__(self) -> None:
        self.settings: list[str] = []
        self.place = -1
        self.draft: Draft | None = None
        """For whoever comes back to it."""
        self._run = 0
        self._going: int | None = None
        """The place that was asked for, until its run begins."""
        self._stood: tuple[str, int, Sequence[StepRecord]] | None = None
        """Setting, cursor and path when another setting was asked for."""
        self._asked = ""
        self._before: tuple[str, int, Sequence[StepRecord]] | None = None
        """The same, once the setting that was asked for is there."""
        self._after = ""
        """That setting."""
        self._outcome: Outcome | None = None
        self._compared = 0
        """Steps the outcome speaks of."""
        self._previous: str | None = None

    @cached_property
    def saved(self) -> SavedSettings:
        """Those that a person keeps."""
        from explorer.state.saved_settings import SavedSettings

        return SavedSettings()

    def notice(self, view: View) -> None:
        """Takes note of a run that began with another setting; called whenever the view has changed."""
        if view.header is None or view.run == self._run:
            return
        self._run = view.run
        self._outcome = None
        setting = _setting(view)
        if self._stood is not None and setting == self._asked:
            self._before, self._after, self._stood = self._stood, self._asked, None
        present = self.settings[self.place] if self.settings else None
        if setting == present:
            return
        self._previous = present
        if self._going is not None and self.settings[self._going] == setting:
            self.place = self._going
        else:
            del self.settings[self.place + 1 :]
            self.settings.append(setting)
            self.place = len(self.settings) - 1
        self._going = None

    # Asking.

    def ask(self, source: Source, view: View, setting: str) -> None:
        """Makes the pruned model anew, and remembers how things stood."""
        self._going = None
        self._ask(source, view, setting)

    def undo(self, source: Source, view: View) -> bool:
        """Goes back to the setting before; False where there is none."""
        return self._go(source, view, self.place - 1)

    def redo(self, source: Source, view: View) -> bool:
        return self._go(source, view, self.place + 1)

    def flip(self, source: Source, view: View) -> bool:
        """Turns to the setting that was shown before this one, and back; False where there is none."""
        if self._previous is None or self._previous not in self.settings:
            return False
        return self._go(source, view, self.settings.index(self._previous))

    def _go(self, source: Source, view: View, place: int) -> bool:
        if not 0 <= place < len(self.settings) or not self.settings[place]:
            return False
        self._going = place
        self._ask(source, view, self.settings[place])
        return True

    def _ask(self, source: Source, view: View, setting: str) -> None:
        self._stood = (_setting(view), view.cursor, list(view.path)) if view.newest else None
        self._asked = canonical(setting)
        source.prune(parse(setting))

    # What came of it.

    def outcome(self, view: View) -> Outcome | None:
        """Before and after, once the new setting has measured as many steps; None until then."""
        before = self._before
        if before is None or _setting(view) != self._after or not view.newest:
            return None
        was, cursor, path = before
        if view.newest < len(path) and (view.running or view.pause is None):
            return None
        steps = min(len(path), view.newest)
        if self._outcome is None or self._compared != steps:
            self._compared = steps
            cursor = min(cursor, steps)
            whole = stretch(path[:steps], view.path[:steps])
            at = stretch(path[:cursor], view.path[:cursor])
            self._outcome = Outcome(was, self._after, max(len(path), view.newest), whole, cursor, at)
        return self._outcome

    def still_measured(self, view: View) -> tuple[int, int] | None:
        """How many of the steps to compare are there, and how many there will be; None if nothing is compared."""
        if self._before is None or _setting(view) != self._after:
            return None
        return min(view.newest, len(self._before[2])), len(self._before[2])


def stretch(before: Sequence[StepRecord], after: Sequence[StepRecord]) -> Stretch:
    """Both paths over the steps at which both have figures."""
    both = [(old, new) for old, new in zip(before, after, strict=True) if old.shared and new.shared]
    sums = [summarise([pair[side] for pair in both]) for side in (0, 1)]
    own = None
    if not all(one.same_context for pair in both for one in pair):
        writing = [(old.p.kl, new.p.kl) for old, new in both if old.p and new.p]
        own = sum(old for old, _ in writing), sum(new for _, new in writing)
    return Stretch(len(both), sums[0], sums[1], own)


def canonical(setting: str) -> str:
    """A setting as it is written everywhere; as it stands where it can't be read."""
    try:
        return str(parse(setting))
    except BadInput:
        return setting


def _setting(view: View) -> str:
    """The present setting, "" where there is none."""
    report = view.header.prune if view.header else None
    return canonical(report.setting) if report else ""
