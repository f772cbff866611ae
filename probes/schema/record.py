"""What one step of two models is recorded as: frozen, plain, and free of torch.

The spellings here are the ones used everywhere: in the session file, in `--json`, in exports and in Python.
All logarithms are natural, so divergences and entropies are in nats. Formulas stand in `probes.stepping.spaces`.

A figure may be infinite or undefined (nan). JSON has neither, so such a figure is written as null and named in
the step's `nonfinite` object, for example `{"p.kl": "inf"}`; reading puts it back.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from probes.schema.bounds import Amount, Angle, Cosine, Count, Figure, Place, Share, TokenString


@dataclass(frozen=True, slots=True)
class HiddenFigures:
    """Embedding space: the hidden state that enters the LM head, dense `h` against pruned `h'`."""

    cos: Cosine
    """Cosine of the two states, in [-1, 1]; 1 is identical direction."""
    angle: Angle
    """The angle between them in degrees, in [0, 180]."""
    length_ratio: Amount
    """‖h'‖ / ‖h‖."""
    parallel: Amount
    """|α| with α = ⟨Δh, h⟩ / ‖h‖²: the part of the change that only rescales."""
    orthogonal: Amount
    """‖Δh - αh‖ / ‖h‖: the part of the change that turns."""
    cos_estimate: Amount
    """Theorem 1's second-order estimate of 1 - cos."""


@dataclass(frozen=True, slots=True)
class LogitFigures:
    """Logit space: `z` against `z'`, with Δz = z' - z."""

    cos: Cosine
    """The raw cosine, as the paper has it; a constant added to all logits changes it."""
    cos_centred: Cosine
    """Cosine after each vector's mean is taken away; softmax sees this one."""
    l2: Amount
    rms: Amount
    rms_centred: Amount
    """Root mean square of Δz without its mean: its standard deviation over the vocabulary."""
    mean_abs: Amount
    max_abs: Amount
    top5_rms: Amount
    """Root mean square of Δz over the dense model's five largest logits."""
    parallel: Amount
    orthogonal: Amount


@dataclass(frozen=True, slots=True)
class ProbabilityFigures:
    """Probability space: `p` (dense) against `q` (pruned) at the analysis temperature."""

    kl: Amount
    """KL(p‖q) in nats, the dense model as reference."""
    kl_reverse: Amount
    js: Amount
    """Jensen–Shannon divergence in nats, at most ln 2."""
    tv: Share
    """Total variation, in [0, 1]."""
    cos: Cosine
    entropy_dense: Amount
    entropy_pruned: Amount
    kl_estimate: Amount
    """Theorem 3's local estimate of the KL."""
    cos_estimate: Amount
    """Theorem 2's local estimate of 1 - cos."""
    rank_dense_in_pruned: Place
    """Rank of the dense model's most likely token in `q`; 1 is first, and of equals the smaller id is."""
    rank_pruned_in_dense: Place
    topk_overlap: Share
    """Share of the dense model's top k that is in the pruned model's, in [0, 1]."""


Side = Literal["dense", "pruned"]
"""One of the two models."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One token and how likely each model finds it."""

    token_id: Count
    token: TokenString
    """The token alone, as text; may be half a character or hold control characters."""
    p: Share
    q: Share


@dataclass(frozen=True, slots=True)
class Taken:
    """The token that was appended to a context, and what it added to the text."""

    token_id: Count
    token: TokenString
    p: Share
    q: Share
    text: TokenString
    """What the text grew by; empty while a character is incomplete, the whole character once it is."""
    forced: bool = False
    """True where a person forced the token instead of letting a model choose."""
    end: bool = False
    """True where this token ends the text."""


@dataclass(frozen=True, slots=True)
class TopToken:
    """One row of the next-token table: the union of both models' top k, by the larger of p and q."""

    token_id: Count
    token: TokenString
    p: Share
    q: Share
    z_dense: Figure
    z_pruned: Figure
    rank_dense: Place
    rank_pruned: Place
    kl_share: Figure
    """This token's summand of KL(p‖q) divided by the KL; summands can be negative. 0 where the KL is 0."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The three spaces and the table, for one pair of contexts."""

    h: HiddenFigures
    z: LogitFigures
    p: ProbabilityFigures
    top: tuple[TopToken, ...]


@dataclass(frozen=True, slots=True)
class Sums:
    """What has accumulated up to and including this step.

    Survival and the log ratio speak of one text under two models, so in `free` they are taken on the shared
    (dense) context; `kl` is the plain comparison's and `kl_local` the shared context's. Elsewhere both agree.
    """

    kl: Amount
    kl_local: Amount
    log_ratio: Figure
    """Σ log p(y) - log q(y) of the tokens taken on the shared context; exp of its mean is the perplexity ratio."""
    survival: Share
    """Π (1 - TV) on the shared context, in [0, 1]."""
    agree_rate: Share
    """Share of the compared steps so far with the same most likely token."""
    first_split: Place | None
    """The first step at which the two choices differed; None while they never did."""
    nll_dense: Amount | None = None
    """Σ -log p(y) of the tokens taken on the shared context, in nats; None in recordings that did not keep it."""
    nll_pruned: Amount | None = None
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
    """The dense model's own choice; None once it has ended (`free`) or where it is invalid."""
    pruned: Choice | None
    taken: Taken | None
    """What was appended to the dense context (the shared one, except in `free`); None once that has ended."""
    taken_pruned: Taken | None
    """What was appended to the pruned model's own context (`free`); None elsewhere or when ended."""
    same_context: bool
    """True while both models saw the same tokens before this step."""
    agree: bool | None
    """Would greedy decoding take the same token of both? None where there is nothing to compare."""
    h: HiddenFigures | None
    """The plain comparison: each model on its own context. None unless both were writing."""
    z: LogitFigures | None
    p: ProbabilityFigures | None
    local: Comparison | None
    """Both models on the dense context, present where that differs from the plain comparison."""
    sum: Sums
    top: tuple[TopToken, ...]
    invalid: Invalid | None = None
    tied: tuple[Side, ...] = ()
    """The models ("dense", "pruned") of which several tokens have the largest logit: the first of them counts as the
    likeliest, so `agree` and the choices hang on their ids."""

    @property
    def parts(self) -> bool:
        """Do the contexts part here: the same tokens before this step, and different ones taken?"""
        taken, other = self.taken, self.taken_pruned
        return self.same_context and taken is not None and other is not None and taken.token_id != other.token_id

    @property
    def shared(self) -> Comparison | None:
        """The comparison on one shared context: `local` where the contexts differ, the plain one elsewhere."""
        if self.local is not None:
            return self.local
        if self.same_context and self.h is not None and self.z is not None and self.p is not None:
            return Comparison(self.h, self.z, self.p, self.top)
        return None

    @property
    def missing(self) -> bool:
        """True where a recording's line for this step can't be read: it only keeps the steps after it in place."""
        parts = (self.dense, self.pruned, self.taken, self.taken_pruned, self.h, self.local, self.invalid)
        return all(part is None for part in parts)

    @property
    def split(self) -> bool:
        """True where the two choices differ."""
        return self.dense is not None and self.pruned is not None and self.dense.token_id != self.pruned.token_id


def to_jsonable(value: object) -> dict[str, Any]:
    """A record as plain dicts, with what is not finite as None and named in `nonfinite` by its dotted path."""
    plain: dict[str, Any] = msgspec.to_builtins(value)
    nonfinite: dict[str, str] = {}
    for path, holder, key, number in list(_floats(plain, "")):
        if not math.isfinite(number):
            nonfinite[path] = str(number)
            holder[key] = None
    if nonfinite:
        plain["nonfinite"] = nonfinite
    return plain


def from_jsonable(plain: dict[str, Any]) -> StepRecord:
    """The step that `to_jsonable` wrote. Raises `msgspec.ValidationError` where it is not one.

    Keys it doesn't know are passed over, so a newer file can still be read; `plain` may be changed.
    """
    named = plain.pop("nonfinite", {})
    if not isinstance(named, dict):
        raise msgspec.ValidationError("`nonfinite` is not an object")
    for path in named:
        _stand_in(plain, path)
    record = msgspec.convert(plain, StepRecord)
    for path, text in named.items():
        _put(record, path, text)
    return record


def _floats(node: Any, path: str) -> Iterator[tuple[str, Any, Any, float]]:
    items = node.items() if isinstance(node, dict) else enumerate(node)
    for key, child in items:
        here = f"{path}.{key}" if path else str(key)
        if isinstance(child, float):
            yield here, node, key, child
        elif isinstance(child, (dict, list, tuple)):
            yield from _floats(child, here)


_STAND_IN = 1.0
"""Within the bounds of every figure: it holds the place of one that is not finite while the others are checked."""


def _stand_in(node: Any, path: str) -> None:
    *walk, last = path.split(".")
    try:
        for part in walk:
            node = node[int(part)] if isinstance(node, list) else node[part]
        node[last] = _STAND_IN
    except (KeyError, IndexError, TypeError, ValueError) as problem:
        raise msgspec.ValidationError(f"`nonfinite` names {path!r}, which can't be put back") from problem


def _put(node: Any, path: str, text: object) -> None:
    """Puts what is not finite into a record that nobody has seen yet; a figure it doesn't know is passed over."""
    *walk, last = path.split(".")
    for part in walk:
        if not isinstance(node, tuple) and part not in getattr(node, "__dataclass_fields__", ()):
            return
        node = node[int(part)] if isinstance(node, tuple) else getattr(node, part)
    if last not in getattr(node, "__dataclass_fields__", ()):
        return
    try:
        number = float(str(text))
    except ValueError:
        number = 0.0
    if math.isfinite(number) or not isinstance(getattr(node, last), float):
        raise msgspec.ValidationError(f"`nonfinite` names {path!r}, which can't be put back")
    object.__setattr__(node, last, number)
