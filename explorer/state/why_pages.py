"""The state of the screen that explains a token: its pages, the step or span, and the findings about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from explorer.state.view import View
from explorer.words import culprits
from probes.schema.events import Explained
from probes.schema.explanation import Layers, Swaps
from probes.schema.findings import Finding, Kind
from probes.schema.fork_verdict import ForkVerdict
from probes.schema.noise_floor import NoiseFloor
from probes.schema.part import Part
from probes.schema.quadrants import Quadrants
from probes.schema.repair import Repair
from probes.schema.requests import FindRepair, SwapLevel
from probes.schema.split_anatomy import SplitAnatomy, SplitVerdict

LEVELS: tuple[SwapLevel, ...] = ("sublayer", "matrix", "head")
F = TypeVar("F", bound=Finding)


class WhyPage(Enum):
    """The pages, in the order of their keys. The value is the name on the tab."""

    HEAL = "heal"
    LAYERS = "layers"
    MEMORY = "memory"
    SPLIT = "split"
    REPAIR = "give back"
    FLOOR = "noise"

    @property
    def kind(self) -> Kind | None:
        """The kind of finding that it shows; None for repairs, which are searched for and not computed unasked."""
        return _KINDS.get(self)


_KINDS: dict[WhyPage, Kind] = {
    WhyPage.HEAL: "swaps",
    WhyPage.LAYERS: "layers",
    WhyPage.MEMORY: "quadrants",
    WhyPage.SPLIT: "split",
    WhyPage.FLOOR: "noise_floor",
}


@dataclass(frozen=True, slots=True)
class WhyLook:
    """The step at the cursor or the marked span, and one level down a sublayer."""

    view: View
    level: SwapLevel = "sublayer"
    inside: Part | None = None
    here: bool = False
    """Only the cursor's step, whatever is marked."""

    @property
    def span(self) -> tuple[int, int | None]:
        """The first step that swaps are about, and the last one if there are several."""
        return (self.view.cursor, None) if self.here else self.view.explained_steps

    @property
    def splits(self) -> bool:
        """Do the models choose different tokens at one of the steps?"""
        first, last = self.span
        return any(record.agree is False for record in self.view.path[first - 1 : last or first])

    @property
    def swaps_event(self) -> Explained | None:
        """Heal and damage, at the level that is looked at."""
        return self.view.explained(Swaps, *self.span, self.level)

    @property
    def swaps(self) -> Swaps | None:
        """Heal and damage of whole sublayers."""
        return self.view.finding(Swaps, *self.span)

    @property
    def culprit(self) -> Part | None:
        """The sublayer with the largest heal, which may be an estimate."""
        found = self.swaps
        return Part(found.heal[0].sublayer, found.heal[0].layer) if found is not None and found.heal else None

    @property
    def layers(self) -> Layers | None:
        return self.view.finding(Layers, self.view.cursor)

    @property
    def quadrants(self) -> Quadrants | None:
        return self.view.finding(Quadrants, self.view.cursor)

    @property
    def split(self) -> SplitAnatomy | None:
        return self.view.finding(SplitAnatomy, self.view.cursor)

    @property
    def fork(self) -> ForkVerdict | None:
        return self.view.finding(ForkVerdict, self.view.cursor)

    @property
    def floor(self) -> NoiseFloor | None:
        return self.view.finding(NoiseFloor)

    def repair(self, asked: FindRepair | None) -> Repair | None:
        """The repair of a search; without one the newest that is known about the step or span."""
        if asked is not None:
            return self.view.finding(Repair, asked.step, asked.through, asked.level)
        found = [one for one in self.view.findings() if isinstance(one.found, Repair) and self._here(one)]
        return found[-1].found if found and isinstance(found[-1].found, Repair) else None

    def repair_is_final(self, asked: FindRepair | None) -> bool:
        """Is it the answer of a search, and not the best set of one that goes on or was cancelled?"""
        event = self.view.explained(Repair, asked.step, asked.through, asked.level) if asked is not None else None
        return event is None or event.final

    def _here(self, event: Explained) -> bool:
        return (event.step, event.through) == self.span and event.branch == self.view.branches.owner(event.step)

    @property
    def next_level(self) -> SwapLevel:
        """One level down; from the lowest, and of an MLP from its matrices, up again to whole sublayers."""
        at = LEVELS.index(self.level) + 1
        heads = self.inside is None or self.inside.kind == "attn"
        return LEVELS[at] if at < len(LEVELS) - (not heads) else "sublayer"

    @property
    def goes_on(self) -> bool:
        """Is there another level to go to: one that is known, or that the models can compute?"""
        known = self.next_level == "sublayer" or self.view.explained(Swaps, *self.span, self.next_level) is not None
        return self.swaps is not None and (self.view.live or known)


def headline(look: WhyLook, *, short: bool = False, tokens: bool = True, computing: bool = False) -> tuple[str, bool]:
    """The most telling sentence that is known, and whether it is the answer; or that the answer is being computed.

    `tokens`: does it say that the dense token returns?
    """
    split, swaps, event = look.split, look.swaps, look.view.explained(Swaps, *look.span)
    if split is not None and split.verdict is SplitVerdict.NUMERICAL:
        return culprits.split_kind(split), True
    if swaps is not None and event is not None:
        sentence = culprits.culprit(swaps, final=event.final, split=tokens and look.splits, short=short)
        if sentence:
            return sentence, True
        if not event.final and (guess := culprits.suspect(swaps)):
            return guess, False
        if event.final and swaps.kl == 0:
            return "The two models predict exactly the same here. There is nothing to explain.", True
    if look.layers is not None:
        sentence = culprits.parting(look.layers)
        return f"{culprits.COMPUTING} {sentence}" if computing else sentence, False
    return culprits.COMPUTING if computing else "", False


def culprit_sentence(view: View, *, tokens: bool = True) -> str:
    """The sentence that names the culprit of the cursor's step, or of the marked span that it is in; "" if unknown."""
    first, last = view.span or (0, 0)
    alone = WhyLook(view, here=True)
    for look in (alone, WhyLook(view)) if first <= view.cursor <= last else (alone,):
        sentence, known = headline(look, short=True, tokens=tokens)
        if known:
            return sentence
    return ""
