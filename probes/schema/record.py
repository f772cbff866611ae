"""The record of one step of two models: frozen data, free of torch.

The names here are used everywhere: in a recording, in `--json`, in exports and in Python. `probes.schema.flat_step`
writes a record as JSON. All logarithms are natural, so divergences and entropies are in nats. The formulas are in
docs/figures.md and `probes.stepping.spaces`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import msgspec

from probes.schema.bounds import Angle, Bounded, Cosine, Natural, NonNegative, Place, Share, TokenString


@dataclass(frozen=True, slots=True)
class HiddenFigures:
    """Embedding space: the hidden state that enters the LM head, dense `h` against pruned `h'`."""

    cos: Cosine
    """Cosine of the two states, in [-1, 1]; 1 is identical direction."""
    angle: Angle
    """The angle between them in degrees, in [0, 180]."""
    length_ratio: NonNegative
    """‖h'‖ / ‖h‖."""
    parallel: NonNegative
    """|α| with α = ⟨Δh, h⟩ / ‖h‖²: the part of the change that only rescales."""
    orthogonal: NonNegative
    """‖Δh - αh‖ / ‖h‖: the part of the change that turns."""
    cos_estimate: NonNegative
    """Theorem 1's second-order estimate of 1 - cos."""


@dataclass(frozen=True, slots=True)
class LogitFigures:
    """Logit space: `z` against `z'`, with Δz = z' - z."""

    cos: Cosine
    """The raw cosine, as the paper has it; a constant added to all logits changes it."""
    cos_centred: Cosine
    """Cosine after each vector's mean is subtracted; only this one affects the softmax."""
    l2: NonNegative
    rms: NonNegative
    rms_centred: NonNegative
    """Root mean square of Δz without its mean: its standard deviation over the vocabulary."""
    mean_abs: NonNegative
    max_abs: NonNegative
    top5_rms: NonNegative
    """Root mean square of Δz over the dense model's five largest logits."""
    parallel: NonNegative
    orthogonal: NonNegative


@dataclass(frozen=True, slots=True)
class ProbabilityFigures:
    """Probability space: `p` (dense) against `q` (pruned) at the analysis temperature."""

    kl: NonNegative
    """KL(p‖q) in nats, the dense model as reference."""
    kl_reverse: NonNegative
    js: NonNegative
    """Jensen–Shannon divergence in nats, at most ln 2."""
    tv: Share
    """Total variation, in [0, 1]."""
    cos: Cosine
    entropy_dense: NonNegative
    entropy_pruned: NonNegative
    kl_estimate: NonNegative
    """Theorem 3's local estimate of the KL."""
    cos_estimate: NonNegative
    """Theorem 2's local estimate of 1 - cos."""
    rank_dense_in_pruned: Place
    """Rank of the dense model's most likely token in `q`, from 1; of equal ones, the smaller id comes first."""
    rank_pruned_in_dense: Place
    topk_overlap: Share
    """Share of the dense model's top k that is in the pruned model's top k, in [0, 1]."""


Side = Literal["dense", "pruned"]
"""One of the two models."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One token and its probability in each model."""

    token_id: Natural
    token: TokenString
    """The token alone, as text; it may be half a character or contain control characters."""
    p: Share
    q: Share


@dataclass(frozen=True, slots=True)
class Taken:
    """The token that was appended to a context, and the text that it added."""

    token_id: Natural
    token: TokenString
    p: Share
    q: Share
    text: TokenString
    """The added text; empty while a character is incomplete, then the whole character."""
    forced: bool = False
    """True if a person forced the token instead of letting a model choose."""
    end: bool = False
    """True if this token ends the text."""


class TopToken(msgspec.Struct, frozen=True, gc=False):
    """One row of the next-token table: the union of both models' top k, by the larger of p and q.

    A recording consists mostly of these rows, which are read twice as fast as dataclasses.
    """

    token_id: Natural
    token: TokenString
    p: Share
    q: Share
    z_dense: Bounded
    z_pruned: Bounded
    rank_dense: Place
    rank_pruned: Place
    kl_share: Bounded
    """This token's summand of KL(p‖q) divided by the KL; summands can be negative. 0 if the KL is 0."""


@dataclass(frozen=True, slots=True)
class GroupFigures:
    """One watched group at a step; its probabilities are the sums over its tokens."""

    label: TokenString
    tokens: tuple[Natural, ...]
    """The ids of its tokens."""
    p: Share
    q: Share
    share_dense: Share
    """p̂: p among all watched groups, so that these add up to 1."""
    share_pruned: Share
    rank_dense: Place
    """The rank of its likeliest token, from 1; of equal ones, the smaller id comes first."""
    rank_pruned: Place


@dataclass(frozen=True, slots=True)
class Watched:
    """The watched groups at a step, and the two distributions over them: p̂ (dense) against q̂ (pruned)."""

    groups: tuple[GroupFigures, ...]
    mass_dense: Share
    """The probability that all groups hold together."""
    mass_pruned: Share
    kl: NonNegative | None
    """KL(p̂‖q̂) in nats; None, as the next two, if only one group is watched."""
    kl_reverse: NonNegative | None
    cos: Cosine | None

    @property
    def agree(self) -> bool:
        """Do both models find the same group likeliest? Of equal ones the first counts."""
        places = range(len(self.groups))
        dense = max(places, key=lambda place: self.groups[place].share_dense)
        return dense == max(places, key=lambda place: self.groups[place].share_pruned)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The three spaces and the table, for one pair of contexts."""

    h: HiddenFigures
    z: LogitFigures
    p: ProbabilityFigures
    top: tuple[TopToken, ...]
    watched: Watched | None = None
    """The tokens that the run follows; None if it follows none."""


@dataclass(frozen=True, slots=True)
class Sums:
    """The accumulated figures up to and including this step.

    Survival and the log ratio compare two models on one text, so in `free` they are taken on the shared (dense)
    context. `kl` is of each model on its own context, `kl_shared` of both on the shared one; outside `free` they are
    equal.
    """

    kl: NonNegative
    kl_shared: NonNegative
    log_ratio: Bounded
    """Σ log p(y) - log q(y) of the tokens taken on the shared context; exp of its mean is the perplexity ratio."""
    survival: Share
    """Π (1 - TV) on the shared context, in [0, 1]."""
    agree_rate: Share
    """Share of the compared steps so far with the same most likely token."""
    first_split: Place | None
    """The first step at which the two choices differed; None if they never did."""
    nll_dense: NonNegative | None = None
    """Σ -log p(y) of the tokens taken on the shared context, in nats; None in recordings without it."""
    nll_pruned: NonNegative | None = None
    """Σ -log q(y) of the same tokens."""


@dataclass(frozen=True, slots=True)
class Invalid:
    """A step at which a model computed NaN or infinity."""

    model: str
    """"dense" or "pruned"."""
    layer: str
    """The first module, in the order of the forward pass, whose output was not finite."""


@dataclass(frozen=True, slots=True)
class StepRecord:
    """One decoding step of both models. Steps are numbered from 1."""

    step: Place
    dense: Choice | None
    """The dense model's own choice; None if its text has ended (`free`) or it is invalid."""
    pruned: Choice | None
    taken: Taken | None
    """The token appended to the dense context (the shared one, except in `free`); None if its text has ended."""
    taken_pruned: Taken | None
    """The token appended to the pruned model's own context (`free`); None in other modes, or if its text has ended."""
    same_context: bool
    """True while both models saw the same tokens before this step."""
    agree: bool | None
    """Do both models have the same most likely token? None if there is nothing to compare."""
    own: Comparison | None
    """Each model on its own context. None unless both were generating."""
    shared: Comparison | None
    """Both models on the shared context, which is the dense model's. While both have read the same tokens it is always
    `own`, even if another value is given."""
    sum: Sums
    invalid: Invalid | None = None
    tied: tuple[Side, ...] = ()
    """The models ("dense", "pruned") in which several tokens have the largest logit. The first of these counts as the
    likeliest, so `agree` and the choices depend on their ids."""

    def __post_init__(self) -> None:
        if self.same_context:
            object.__setattr__(self, "shared", self.own)

    @property
    def split(self) -> bool:
        """True if the models choose different tokens at this step."""
        return self.dense is not None and self.pruned is not None and self.dense.token_id != self.pruned.token_id

    @property
    def diverges(self) -> bool:
        """True if the texts differ from this step on: the same tokens before it, and different tokens at it."""
        taken, other = self.taken, self.taken_pruned
        return self.same_context and taken is not None and other is not None and taken.token_id != other.token_id

    @property
    def missing(self) -> bool:
        """True if a recording's line for this step can't be read: it only keeps the steps after it in place."""
        if self.own is not None or self.shared is not None:
            return False
        return all(one is None for one in (self.dense, self.pruned, self.taken, self.taken_pruned, self.invalid))
