"""The result of one item of a task in both models. Frozen data without torch; dense comes first, and is the reference.

The formulas are in docs/figures.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probes.schema.bounds import Bounded, Cosine, Natural, NonNegative, Share, TokenString
from probes.schema.explanation import SpaceFigures


@dataclass(frozen=True, slots=True)
class Answered:
    """One model's answer to one item."""

    choice: str
    """The text of the chosen option, the document ranked first (its id), or the answer taken out of the generated text.
    "" if the model computes NaN or infinity, which counts as wrong."""
    right: bool
    score: Bounded
    """1 or 0 where an answer is right or wrong; for retrieval, the reciprocal rank of the first positive document."""
    margin: Bounded | None = None
    """ln p(1st option) - ln p(2nd option), or the similarity of the first document less that of the second; None for
    generation."""
    text: str = ""
    """The generated text; "" for other tasks."""


@dataclass(frozen=True, slots=True)
class OptionFigures:
    """The distributions over the options, renormalised: p (dense) against q (pruned)."""

    p: tuple[Share, ...]
    q: tuple[Share, ...]
    mass_dense: Share | None
    """The probability that all options hold together at the deciding position; None by continuation."""
    mass_pruned: Share | None
    kl: NonNegative
    kl_reverse: NonNegative
    cos: Cosine
    tokens: tuple[tuple[Natural, ...], ...] = ()
    """By letter: the token ids of each option's surface forms."""
    per_byte_dense: str = ""
    """By continuation: the option chosen by log-probability per byte (a harness's acc_norm); "" by letter."""
    per_byte_pruned: str = ""


@dataclass(frozen=True, slots=True)
class RankingFigures:
    """The rankings of all documents for one query."""

    rank_dense: Natural
    """The rank of the first positive document, from 1."""
    rank_pruned: Natural
    tau: Bounded | None
    """Kendall's tau-b of the two models' rankings; None if one of them is constant."""
    moved: tuple[tuple[str, Natural, Natural], ...] = ()
    """The documents whose rank changed, at most five, those that moved most first: id, dense rank, pruned rank."""
    positives_dense: tuple[Natural, ...] = ()
    """The ranks of all positive documents, the best first; recall at k is the share of them that is at most k."""
    positives_pruned: tuple[Natural, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationFigures:
    """Both models on the shared context, which is the dense model's own text."""

    steps: Natural
    kl: NonNegative
    """ΣKL over the steps."""
    agree_rate: Share
    first_split: Natural | None
    survival: Share
    half_life: Bounded | None
    """Steps until survival is one half; None if it stays above (docs/figures.md)."""
    steps_pruned: Natural | None = None
    """The steps of the pruned model's own answer, with the token that ends it; None if they were not counted."""


@dataclass(frozen=True, slots=True)
class ItemResult:
    """One item in both models."""

    task: str
    item: str
    """The id of the item."""
    dense: Answered
    pruned: Answered
    spaces: SpaceFigures | None
    """The three spaces over the whole vocabulary at the deciding position. If several positions decide (those of the
    option that the dense model chooses by continuation, those of a generated answer), the means over them, with ranks
    rounded. For retrieval `h` compares the embeddings of the query, and `z` and `p` are those after its last token.
    None if a model computes NaN or infinity, which a note says."""
    options: OptionFigures | None = None
    ranking: RankingFigures | None = None
    generation: GenerationFigures | None = None
    notes: tuple[str, ...] = ()
    """"document cut to 2,048 tokens"."""

    @property
    def same(self) -> bool:
        """Do both models give the same answer?"""
        return self.dense.choice == self.pruned.choice


@dataclass(frozen=True, slots=True)
class Similarities:
    """The similarity of every query with every document, in both models: the heat maps of a retrieval task."""

    task: str
    queries: tuple[str, ...]
    """Ids, in the order of the rows."""
    documents: tuple[str, ...]
    """Ids, in the order of the columns."""
    dense: tuple[tuple[Cosine | None, ...], ...]
    """None if the model computes NaN or infinity for the query or the document, which is then ranked last."""
    pruned: tuple[tuple[Cosine | None, ...], ...]


@dataclass(frozen=True, slots=True)
class ItemPrompt:
    """How one item is read, so that it can be opened as a run: its text up to the deciding token."""

    task: str
    item: str
    prompt: str
    """The text that both models read, in its chat template if it has one, as `RunSettings.prompt` with `raw`."""
    options: Mapping[str, str]
    """Each option's letter or word, and its text; empty for generation."""
    answer: TokenString = ""
    """The name of the right option, or the right answer."""
    tokens: tuple[tuple[Natural, ...], ...] = ()
    """The ids of the tokens that begin each option at the deciding position; () if two options begin alike."""
