"""The figures that accumulate over steps: the running sums of a record, and the summary of a stretch of records.

Survival and likelihood compare two models on one text, so they are taken on the shared context (the dense model's, in
`free`). Agreement and the split compare the two models' own choices.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass

from probes.schema.record import StepRecord, Sums


class Accumulator:
    """Folds steps one by one into `Sums`."""

    def __init__(self) -> None:
        self.kl = 0.0
        self.kl_shared = 0.0
        self.log_ratio = 0.0
        self.nll_dense = 0.0
        self.nll_pruned = 0.0
        self.log_survival = 0.0
        """Σ ln(1 - TV); -inf after a step at which no token was possible for both models."""
        self.compared = 0
        self.agreed = 0
        self.first_split: int | None = None
        self._last = 0
        """The latest record's step while the records are a path from step 1; -1 if they are not."""

    @property
    def sums(self) -> Sums:
        """The sums so far."""
        return Sums(
            kl=self.kl,
            kl_shared=self.kl_shared,
            log_ratio=self.log_ratio,
            survival=math.exp(self.log_survival),
            agree_rate=self.agreed / self.compared if self.compared else 1.0,
            first_split=self.first_split,
            nll_dense=self.nll_dense,
            nll_pruned=self.nll_pruned,
        )

    @classmethod
    def after(cls, records: Sequence[StepRecord]) -> Accumulator:
        """The accumulator after these records, ready to continue."""
        state = cls()
        for record in records:
            state.fold(record)
        return state

    def add(self, record: StepRecord, exact: tuple[float, float] | None = None) -> Sums:
        """The sums up to and including this step, as `fold` makes them."""
        self.fold(record, exact)
        return self.sums

    def fold(self, record: StepRecord, exact: tuple[float, float] | None = None) -> None:
        """Adds this step.

        `exact` is -log p(y) and -log q(y), computed from logits. Without it, a path's recorded sums are used; for other
        records they are computed from the two probabilities, which may underflow to 0.
        """
        own, shared, taken = record.own, record.shared, record.taken
        follows = record.step == self._last + 1 and not record.missing
        self._last = record.step if follows else -1
        if own is not None:
            self.kl += own.p.kl
        if shared is not None:
            self.kl_shared += shared.p.kl
            self.log_survival += math.log1p(-shared.p.tv) if shared.p.tv < 1 else -math.inf
        scored = exact
        if exact is None and shared is not None and taken is not None:
            scored = nll(taken.p), nll(taken.q)
        if scored is not None:
            self.nll_dense += scored[0]
            self.nll_pruned += scored[1]
            self.log_ratio += scored[1] - scored[0] if scored[0] != scored[1] else 0.0
        if follows and exact is None:
            self.log_ratio = record.sum.log_ratio
            if record.sum.nll_dense is not None and record.sum.nll_pruned is not None:
                self.nll_dense, self.nll_pruned = record.sum.nll_dense, record.sum.nll_pruned
        if record.agree is not None:
            self.compared += 1
            self.agreed += record.agree
        if record.split and self.first_split is None:
            self.first_split = record.step


def nll(p: float) -> float:
    """-log p in nats; infinite if p is 0."""
    return -math.log(p) if p > 0 else math.inf


def log_ratio(p: float, q: float) -> float:
    """log p - log q in nats; infinite if one of them is 0, 0 if both are."""
    if p == q:
        return 0.0
    if q == 0:
        return math.inf
    return math.log(p / q) if p > 0 else -math.inf


@dataclass(frozen=True, slots=True)
class Spread:
    """How a figure spreads over steps. Quantiles interpolate linearly between the sorted values."""

    count: int
    """Steps that have the figure."""
    mean: float
    median: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Summary:
    """A stretch of steps in a few figures."""

    steps: int
    compared: int
    """Steps at which both models were generating and valid."""
    invalid: int
    """Steps at which a model computed NaN or infinity; they are in no sum."""
    kl_sum: float
    kl_shared_sum: float
    kl: Spread | None
    """KL per step, each model on its own context, in nats; None if nothing was compared."""
    kl_shared: Spread | None
    log_ratio: float
    perplexity_ratio: float
    """exp of the mean of log p(y) - log q(y): above 1, the text is less likely under the pruned model."""
    scored: int
    """Tokens taken on the shared context with a probability in both models; the perplexities are means over them."""
    nll_dense: float
    """Σ -log p(y) of those tokens, in nats."""
    nll_pruned: float
    """Σ -log q(y) of the same tokens."""
    perplexity_dense: float
    """exp(nll_dense / scored), at the analysis temperature; 1 if nothing was scored."""
    perplexity_pruned: float
    survival: float
    log_survival: float
    half_life: float | None
    """Tokens in which survival halves, at the mean rate so far; None if it has not fallen."""
    agree_rate: float
    longest_agreement: int
    """Longest run of steps with the same most likely token."""
    first_split: int | None
    rms_p_minus_q: float
    """Root mean square of p(y) - q(y) of the tokens taken on the shared context."""
    kl_shared_both: float
    """Σ KL on the shared context over the steps of `kl_sum`, at which both models are generating; `kl_shared_sum`
    continues to the end of the dense text."""
    drift: float
    """`kl_sum` less `kl_shared_both`, in nats: the effect of the contexts having diverged."""
    watched_kl: float | None = None
    """Mean KL(p̂‖q̂) over the watched groups on the shared context, in nats; None if fewer than two are watched."""
    watched_agree_rate: float | None = None
    """Share of those steps at which both models find the same group likeliest; of equal ones the first counts."""


_OF_COMPARED = frozenset(("survival", "agree_rate", "longest_agreement", "kl_sum", "kl_shared_sum", "kl_shared_both"))
_OF_SCORED = frozenset(
    ("log_ratio", "perplexity_ratio", "perplexity_dense", "perplexity_pruned", "nll_dense", "nll_pruned")
)
"""Figures of the steps that are compared, and of the tokens that are scored: of none, they are not known."""


def summary_value(summary: Summary, key: str) -> float | None:
    """A figure by its dotted name in `Summary`, "kl_shared.mean"; None if the run has none.

    Raises `AttributeError` for a name that `Summary` does not have.
    """
    if (not summary.compared and key in _OF_COMPARED) or (not summary.scored and key in _OF_SCORED):
        return None
    found: object = summary
    for name in key.split("."):
        found = None if found is None else getattr(found, name)
    return found if isinstance(found, (int, float)) else None


class Tally:
    """The summary of a growing path, updated with each step, so that its cost does not grow with the path."""

    def __init__(self) -> None:
        self._state = Accumulator()
        self._steps = self._invalid = 0
        self._run = self._longest = 0
        self._own, self._shared = _Sorted(), _Sorted()
        self._taken = 0
        self._squares = self._drift = self._both = 0.0
        self._watched = self._watched_agreed = 0
        self._watched_kl = 0.0

    def copy(self) -> Tally:
        """One that goes on by itself from the steps so far."""
        found = copy(self)
        found._state, found._own, found._shared = copy(self._state), self._own.copy(), self._shared.copy()
        return found

    def add(self, record: StepRecord) -> None:
        """Adds the path's next step."""
        self._state.fold(record)
        self._steps += 1
        self._invalid += record.invalid is not None
        own, shared = record.own, record.shared
        if own is not None:
            self._own.add(own.p.kl)
        if shared is not None:
            self._shared.add(shared.p.kl)
            if own is not None:
                self._both += shared.p.kl
                if not record.same_context:
                    self._drift += own.p.kl - shared.p.kl
            if shared.watched is not None and shared.watched.kl is not None:
                self._watched += 1
                self._watched_kl += shared.watched.kl
                self._watched_agreed += shared.watched.agree
            if record.taken is not None:
                self._taken += 1
                self._squares += (record.taken.p - record.taken.q) ** 2
        if record.agree is not None:
            self._run = self._run + 1 if record.agree else 0
            self._longest = max(self._longest, self._run)

    def summary(self) -> Summary:
        """The summary of the steps so far."""
        state, shared = self._state, self._shared.in_order()
        half_life = None
        if state.log_survival < 0:
            rate = -state.log_survival
            half_life = 0.0 if math.isinf(rate) else len(shared) * math.log(2) / rate
        return Summary(
            steps=self._steps,
            compared=state.compared,
            invalid=self._invalid,
            kl_sum=state.kl,
            kl_shared_sum=state.kl_shared,
            kl=_spread(self._own.in_order(), state.kl),
            kl_shared=_spread(shared, state.kl_shared),
            log_ratio=state.log_ratio,
            perplexity_ratio=_exp(state.log_ratio / self._taken) if self._taken else 1.0,
            scored=self._taken,
            nll_dense=state.nll_dense,
            nll_pruned=state.nll_pruned,
            perplexity_dense=_exp(state.nll_dense / self._taken) if self._taken else 1.0,
            perplexity_pruned=_exp(state.nll_pruned / self._taken) if self._taken else 1.0,
            survival=math.exp(state.log_survival),
            log_survival=state.log_survival,
            half_life=half_life,
            agree_rate=state.agreed / state.compared if state.compared else 1.0,
            longest_agreement=self._longest,
            first_split=state.first_split,
            rms_p_minus_q=math.sqrt(self._squares / self._taken) if self._taken else 0.0,
            kl_shared_both=self._both,
            drift=self._drift,
            watched_kl=self._watched_kl / self._watched if self._watched else None,
            watched_agree_rate=self._watched_agreed / self._watched if self._watched else None,
        )


class _Sorted:
    """Numbers kept in order, undefined ones last: a few more are inserted, many more are sorted together."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self._new: list[float] = []
        self._undefined: list[float] = []

    def copy(self) -> _Sorted:
        found = _Sorted()
        self.in_order()
        found._values, found._undefined = self._values.copy(), self._undefined.copy()
        return found

    def add(self, value: float) -> None:
        (self._new if value == value else self._undefined).append(value)

    def in_order(self) -> list[float]:
        """All of them; not to be changed."""
        if len(self._new) > _INSERTED:
            self._values += self._new
            self._values.sort()
        else:
            for value in self._new:
                insort(self._values, value)
        self._new.clear()
        return [*self._values, *self._undefined] if self._undefined else self._values


_INSERTED = 32
"""Up to so many numbers are inserted one by one, as after each step of a run."""


def summarise(records: Sequence[StepRecord]) -> Summary:
    """The summary of a path, or of some steps of it."""
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally.summary()


def _spread(ordered: Sequence[float], total: float) -> Spread | None:
    """Mean, quantiles and maximum of sorted values with the sum `total`; None if there are no values."""
    if not ordered:
        return None
    return Spread(
        count=len(ordered),
        mean=total / len(ordered),
        median=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p99=quantile(ordered, 0.99),
        max=ordered[-1],
    )


def quantile(ordered: Sequence[float], share: float) -> float:
    """The quantile of sorted values, linear between neighbours, `share` in [0, 1]."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return low if place == below or low == high else low + (high - low) * (place - below)


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf
