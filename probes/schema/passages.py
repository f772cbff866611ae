"""The passages of texts at which two models differ most. Frozen data without torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from probes.schema.bounds import Bounded, Natural, NonNegative, Place, Share

Order = Literal["mean_kl", "max_kl", "first_split", "dp", "rank_change"]
"""What passages are ordered by."""


@dataclass(frozen=True, slots=True)
class Passage:
    """One passage or prompt, scored in both models."""

    source: str
    """The file, or the name of the set of prompts."""
    place: Natural
    """Its first character in the file, or its line from 1."""
    context: str
    """The text before it that both models read; with `text`, what a run of it begins with. "" for none."""
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


@dataclass(frozen=True, slots=True)
class Passages:
    """The passages found, the most different first."""

    order: Order
    rows: tuple[Passage, ...]
    scored: Natural
    """Passages that were looked at."""
    tokens: Natural
    notes: tuple[str, ...] = ()
