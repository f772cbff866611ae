"""What accumulates over steps: the running sums of a record, and the summary of a stretch of records.

Survival and likelihood speak of one text under two models, so they are taken on the shared context (the dense
model's, in `free`); agreement and the split speak of the two models' choices as a person sees them.
"""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence
from dataclasses import dataclass

from probes.schema.record import StepRecord, Sums


class Accumulator:
    """Folds steps one by one into `Sums`."""

    def __init__(self) -> None:
        self.kl = 0.0
        self.kl_local = 0.0
        self.log_ratio = 0.0
        self.nll_dense = 0.0
        self.nll_pruned = 0.0
        self.log_survival = 0.0
        """Σ ln(1 - TV); -inf once the two distributions shared nothing."""
        self.compared = 0
        self.agreed = 0
        self.first_split: int | None = None
        self._last = 0
        """The latest record's step, while the records are a path from its first step on; then -1."""

    def add(
        self,
        step: int,
        *,
        kl: float | None,
        kl_local: float | None,
        tv_local: float | None,
        nll: tuple[float, float] | None,
        agree: bool | None,
        split: bool,
    ) -> Sums:
        """The sums up to and including this step; None stands for a figure the step does not have.

        `kl` in nats on each model's own context, `kl_local` and `tv_local` on the shared one, `nll`
        = -log p(y) and -log q(y) of the token taken there.
        """
        if kl is not None:
            self.kl += kl
        if kl_local is not None:
            self.kl_local += kl_local
        if tv_local is not None:
            self.log_survival += math.log1p(-tv_local) if tv_local < 1 else -math.inf
        if nll is not None:
            self.nll_dense += nll[0]
            self.nll_pruned += nll[1]
            self.log_ratio += nll[1] - nll[0] if nll[0] != nll[1] else 0.0
        if agree is not None:
            self.compared += 1
            self.agreed += agree
        if split and self.first_split is None:
            self.first_split = step
        return self.sums

    @property
    def sums(self) -> Sums:
        """The sums so far."""
        return Sums(
            kl=self.kl,
            kl_local=self.kl_local,
            log_ratio=self.log_ratio,
            survival=math.exp(self.log_survival),
            agree_rate=self.agreed / self.compared if self.compared else 1.0,
            first_split=self.first_split,
            nll_dense=self.nll_dense,
            nll_pruned=self.nll_pruned,
        )

    @classmethod
    def after(cls, records: Sequence[StepRecord]) -> Accumulator:
        """The accumulator as it stood after these records, ready to go on from there."""
        state = cls()
        for record in records:
            state.add_record(record)
        return state

    def add_record(self, record: StepRecord, exact: tuple[float, float] | None = None) -> Sums:
        """The sums after a step.

        `exact` is -log p(y) and -log q(y) as the logits give them. Without it, a path's own sums say what they had come
        to; of other records they are formed from the two probabilities, which may be too small for numbers.
        """
        shared, taken = record.shared, record.taken
        follows = record.step == self._last + 1 and not record.missing
        self._last = record.step if follows else -1
        given = exact is not None
        if exact is None and shared and taken:
            exact = nll(taken.p), nll(taken.q)
        self.add(
            record.step,
            kl=record.p.kl if record.p else None,
            kl_local=shared.p.kl if shared else None,
            tv_local=shared.p.tv if shared else None,
            nll=exact,
            agree=record.agree,
            split=record.split,
        )
        if follows and not given:
            own = record.sum
            self.log_ratio = own.log_ratio
            if own.nll_dense is not None and own.nll_pruned is not None:
                self.nll_dense, self.nll_pruned = own.nll_dense, own.nll_pruned
        return self.sums


def nll(p: float) -> float:
    """-log p in nats; infinite if p is 0."""
    return -math.log(p) if p > 0 else math.inf


def log_ratio(p: float, q: float) -> float:
    """log p - log q in nats; infinite where one of them is 0, 0 where both are."""
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
    """Steps at which both models were writing and valid."""
    invalid: int
    """Steps at which a model computed NaN or infinity; they are in no sum."""
    kl_sum: float
    kl_local_sum: float
    kl: Spread | None
    """KL per step, plain comparison, in nats; None where nothing was compared."""
    kl_local: Spread | None
    log_ratio: float
    perplexity_ratio: float
    """exp of the mean of log p(y) - log q(y): above 1 the pruned model finds the text less likely."""
    scored: int
    """Tokens taken on the shared context that both models gave a probability; the perplexities are means over them."""
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
    """Tokens in which survival halves, at the mean rate so far; None while it has not fallen."""
    agree_rate: float
    longest_agreement: int
    """Longest run of steps with the same most likely token."""
    first_split: int | None
    rms_p_minus_q: float
    """Root mean square of p(y) - q(y) of the tokens taken on the shared context."""
    kl_local_both: float
    """Σ KL on the shared context over the steps at which both models write, which are those of `kl_sum`; that of
    `kl_local_sum` goes on to the end of the dense text."""
    drift: float
    """`kl_sum` less `kl_local_both`, in nats: what comes of the contexts having parted."""


class Tally:
    """The summary of a growing path, kept up step by step so that ten thousand steps cost no more than ten."""

    def __init__(self) -> None:
        self._state = Accumulator()
        self._steps = self._invalid = 0
        self._run = self._longest = 0
        self._plain: list[float] = []
        self._local: list[float] = []
        self._taken = 0
        self._squares = self._drift = self._both = 0.0

    def add(self, record: StepRecord) -> None:
        """Takes the path's next step in."""
        self._state.add_record(record)
        self._steps += 1
        self._invalid += record.invalid is not None
        shared = record.shared
        if record.p is not None:
            insort(self._plain, record.p.kl)
        if shared is not None:
            insort(self._local, shared.p.kl)
            if record.p is not None:
                self._both += shared.p.kl
                if not record.same_context:
                    self._drift += record.p.kl - shared.p.kl
            if record.taken is not None:
                self._taken += 1
                self._squares += (record.taken.p - record.taken.q) ** 2
        if record.agree is not None:
            self._run = self._run + 1 if record.agree else 0
            self._longest = max(self._longest, self._run)

    def summary(self) -> Summary:
        """The steps so far."""
        state = self._state
        half_life = None
        if state.log_survival < 0:
            rate = -state.log_survival
            half_life = 0.0 if math.isinf(rate) else len(self._local) * math.log(2) / rate
        return Summary(
            steps=self._steps,
            compared=state.compared,
            invalid=self._invalid,
            kl_sum=state.kl,
            kl_local_sum=state.kl_local,
            kl=_spread(self._plain, state.kl),
            kl_local=_spread(self._local, state.kl_local),
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
            kl_local_both=self._both,
            drift=self._drift,
        )


def summarise(records: Sequence[StepRecord]) -> Summary:
    """The summary of a path, or of some steps of it."""
    tally = Tally()
    for record in records:
        tally.add(record)
    return tally.summary()


def _spread(ordered: Sequence[float], total: float) -> Spread | None:
    """Mean, quantiles and maximum of sorted values that add up to `total`; None of no values."""
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
    return low if low == high else low + (high - low) * (place - below)


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf
