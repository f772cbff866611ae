"""Both models of a pair with caches of their own, which read items: a run of the same pair goes on undisturbed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from torch import Tensor

from probes.models.tokens import TokenDecoder
from probes.pair import Pair
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet
from probes.schema.record import Side
from probes.stepping.cached_model import CachedModel, NextTokenOutput
from probes.stepping.reading_both import longest_context
from probes.system.progress import UNWATCHED, Work
from probes.tasks.dense_side import DenseSide
from probes.tasks.remembered_model import RememberedModel

SCORING = "Scoring items"
"""The name of this work."""
_SHOWN = 60
"""How many characters of a name are shown in an error."""
AT_ONCE = 32
"""How many positions of options are read at once, so that memory stays bounded."""

Outputs = tuple[NextTokenOutput, NextTokenOutput]


class Readers:
    """The dense and the pruned model. What they read depends on the item alone, not on the items before it."""

    def __init__(self, pair: Pair, work: Work = UNWATCHED, side: DenseSide | None = None) -> None:
        """`work` is checked between passes, when nothing is changed in a model; it hears of no progress. `side` has
        answers of the dense model and gets more."""
        self.pair = pair
        self.work = replace(work, progress=None)
        self.dense, self.pruned = pair.cached_models()
        if side is not None:
            self.dense = RememberedModel(pair.dense.model, side, lane=0)
        self.tokenizer = pair.dense.tokenizer
        self.tokens = TokenDecoder(self.tokenizer)
        self.vocabulary = min(self.dense.vocabulary, self.pruned.vocabulary, pair.vocabulary)
        """The ids below it are compared."""
        self.foreign = pair.common.foreign if pair.common else frozenset[int]()
        self.longest = longest_context(pair.dense.model, pair.pruned.model)
        """Tokens that both models can read."""

    @property
    def models(self) -> tuple[CachedModel, CachedModel]:
        return self.dense, self.pruned

    def check(self, what: str, ids: Sequence[int], length: int | None = None) -> None:
        """Raises `BadInput` unless both models know these tokens, and can read so many of them (all, by default)."""
        length = len(ids) if length is None else length
        if length > self.longest:
            message = f"{what} has {length:,} tokens, but the models read at most {self.longest:,}."
            raise BadInput("Item too long", message, "Shorten it, or leave it out.")
        lacking = next((token for token in ids if token >= self.vocabulary or token in self.foreign), None)
        if lacking is not None:
            token = f"“{visible(self.tokens.piece(lacking), 40)}” (token {lacking:,})"
            message = f"{what} has {token}, which is not the same token in both models."
            raise BadInput("Unknown token", message, "Leave the item out, or write it in other words.")

    def forget(self) -> None:
        """Empties both caches. Done before each item, so that its figures are the same in any order."""
        self.work.check(SCORING)
        for model in self.models:
            model.forget()

    def read_last(self, context: Sequence[int], positions: int = 1) -> Outputs:
        """Both models' outputs after each of the last positions of a context, on one device and over one vocabulary."""
        return self._read([context], positions)

    def read_options(
        self, context: Sequence[int], options: Mapping[int, Sequence[int]]
    ) -> Iterator[tuple[int, Sequence[int], Outputs]]:
        """Tokens of options after a context, all but the first of each, with the outputs that predict them, by the
        option's number. Short options are read in one batch, long ones alone, a piece at a time."""
        longer = {number: option for number, option in options.items() if len(option) > 1}
        width = max(map(len, longer.values()), default=1) - 1
        if len(longer) > 1 and len(longer) * width <= AT_ONCE:
            # What follows a shorter option fills its row, and is not used.
            rows = [[*context, *option[:-1], *[option[-1]] * (width + 1 - len(option))] for option in longer.values()]
            outputs = self._read(rows, width)
            for start, (number, option) in zip(range(0, len(rows) * width, width), longer.items(), strict=True):
                dense, pruned = (one.rows(start, start + len(option) - 1) for one in outputs)
                yield number, option[1:], (dense, pruned)
            return
        for number, option in longer.items():
            for start in range(1, len(option), AT_ONCE):
                tokens = option[start : start + AT_ONCE]
                read = [*context, *option[: start + len(tokens) - 1]]
                yield number, tokens, self.read_last(read, len(tokens))

    def _read(self, contexts: Sequence[Sequence[int]], positions: int) -> Outputs:
        self.work.check(SCORING)
        found = [model.read_last(contexts, positions, self.work) for model in self.models]
        for model in self.models:
            model.join()
        device = found[0].logits.device
        dense, pruned = (output.over(self.vocabulary, device) for output in found)
        return dense, pruned

    def mean_states(self, context: Sequence[int], start: int) -> tuple[Tensor, Tensor]:
        """The means of the states that enter the two LM heads from the token `start` on, (d,) each, in float64 on the
        CPU."""
        self.work.check(SCORING)
        found = [model.mean_state(context, start, self.work) for model in self.models]
        for model in self.models:
            model.join()
        dense, pruned = (mean.cpu() for mean in found)
        return dense, pruned

    def broken(self, side: Side, context: Sequence[int]) -> str:
        """A sentence that a model computes NaN on a context, and where that begins."""
        module = (self.dense if side == "dense" else self.pruned).first_nonfinite([list(context)])
        where = f", first in {module}" if module else ""
        return f"The {side} model computes NaN or infinity{where}, which counts as wrong."


def item_name(items: ItemSet, item_id: str, kind: str = "Item") -> str:
    """How an error names an item: "Item 3 of facts"."""
    return f"{kind} {visible(item_id, _SHOWN)} of {visible(items.name, _SHOWN)}"
