"""The passages of texts at which two models differ most. Frozen data without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.schema.bounds import Bounded, Natural, NonNegative, Place, Share
from probes.schema.settings import Follow, RunSettings

Order = Literal["mean_kl", "max_kl", "first_split", "dp", "rank_change"]
"""What passages are ordered by: the largest mean KL first, the largest KL of a token, the earliest split, the largest
mean of Δp in either direction, or the largest fall of a token that the dense model ranks first."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage or prompt, scored in both models."""

    source: str
    """The file, or the name of the set of prompts."""
    place: Natural
    """Its first character in the file, from 0. Of a JSON Lines file or a set of prompts, its line or number from 1."""
    context: str
    """The text before it that both models read, special tokens included: a run of it has this as its raw prompt, and
    follows `text`. "" for none, and then a run has no prompt."""
    text: str
    steps: Natural
    """Tokens that were scored."""
    mean_kl: NonNegative
    max_kl: NonNegative
    max_kl_at: Place
    """The step of the largest KL, from 1."""
    first_split: Place | None
    """The first step at which the top tokens differ."""
    agree_rate: Share
    dp: Bounded
    """The mean of q(y) - p(y) of the text's tokens."""
    rank_change: Bounded
    """The largest rise in rank of a token that the dense model ranks first: its rank in q less 1."""
    worst: tuple[Natural, Natural] = (0, 0)
    """The characters in `text`, from and to, of the token with the largest KL."""
    lined: bool = False
    """Is `place` a line or a number?"""
    item: str = ""
    """Of a set of items, the id of the item whose text it is; "" for a file."""

    @property
    def run(self) -> RunSettings:
        """The run that steps through the passage, with the same text before it."""
        return RunSettings(self.context, raw=bool(self.context), follow=Follow.TEXT, text=self.text)


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages found, the most different first."""

    order: Order
    rows: tuple[Passage, ...]
    scored: Natural
    """Passages that were looked at."""
    tokens: Natural
    notes: tuple[str, ...] = ()
