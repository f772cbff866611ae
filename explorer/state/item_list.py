"""The items of a task that a list shows, and the run that opens one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from probes.schema.events import ItemScored
from probes.schema.passages import Passage
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.task_options import NEW_TOKENS
from probes.schema.task_results import ItemPrompt, ItemResult
from probes.schema.watch import WatchedGroup


class ItemFilter(StrEnum):
    """Which items are listed."""

    ALL = "all"
    CHANGED = "changed"
    """The two models answer differently."""
    LOST = "lost"
    """Only the dense model is right."""
    GAINED = "gained"
    """Only the pruned model is right."""

    def holds(self, result: ItemResult) -> bool:
        match self:
            case ItemFilter.CHANGED:
                return not result.same
            case ItemFilter.LOST:
                return result.dense.right and not result.pruned.right
            case ItemFilter.GAINED:
                return result.pruned.right and not result.dense.right
        return True


@dataclass(frozen=True, slots=True)
class ItemLook:
    """How a list of items is looked at."""

    shown: ItemFilter = ItemFilter.ALL
    by_kl: bool = False
    """Sorted by KL, the largest first; else as they were scored."""
    item: str = ""
    """The id of the chosen one; "" for the first."""

    def listed(self, items: Sequence[ItemScored]) -> list[ItemScored]:
        """The items that the filter holds, in order."""
        found = [one for one in items if self.shown.holds(one.result)]
        return sorted(found, key=lambda one: -kl_of(one.result)) if self.by_kl else found

    def row(self, listed: Sequence[ItemScored]) -> int:
        """The place of the chosen item among those listed."""
        return next((at for at, one in enumerate(listed) if one.result.item == self.item), 0)


def kl_of(result: ItemResult) -> float:
    """KL(p‖q) over the vocabulary where the item is decided; -1 if it is not known or undefined."""
    kl = result.spaces.p.kl if result.spaces is not None else -1.0
    return kl if kl == kl else -1.0


def answer_steps(result: ItemResult) -> int:
    """The steps in which both models have written their answers to an item; 0 for an item without a generated answer.
    Without the pruned model's number, which older files lack, they are the most that an answer has by default."""
    made = result.generation
    return 0 if made is None else max(made.steps, made.steps_pruned or NEW_TOKENS)


def item_settings(base: RunSettings, prompt: ItemPrompt, answer: int = 0) -> RunSettings:
    """The run that opens an item as it was scored: at its deciding token, with its options watched; of a generated
    `answer` of so many steps, each model on the text that it writes itself."""
    watch = tuple(WatchedGroup(name, ids) for name, ids in zip(prompt.options, prompt.tokens, strict=False) if ids)
    alone = replace(base, turns=(), begun="", template_args=())
    opened = replace(alone, prompt=prompt.prompt, raw=True, follow=Follow.DENSE, text="", watch=watch)
    return replace(opened, follow=Follow.FREE, steps=answer, sampling=Sampling()) if answer else opened


def run_of_item(prompt: ItemPrompt, base: RunSettings, *, answer: int = 0) -> RunSettings:
    """The same as a launcher takes it."""
    return item_settings(base, prompt, answer)


def passage_settings(base: RunSettings, passage: Passage) -> RunSettings:
    """The run that scores a passage after its context."""
    return replace(passage.run, top=base.top)
