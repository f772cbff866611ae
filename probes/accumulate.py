"""What accumulates over steps: the running sums of a record, and the summary of a stretch of records.

Survival and likelihood speak of one text under two models, so they are taken on the shared context (the dense
model's, in `free`); agreement and the split speak of the two models' choices as a person sees them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from probes.record import StepRecord, Sums


class Accumulator:
    """Folds steps one by one into `Sums`."""

    def __init__(self) -> None:
        self.kl = 0.0
        self.kl_local = 0.0
        self.log_ratio = 0.0
        self.log_survival = 0.0
        """Σ ln(1 - TV); -inf once the two distributions shared nothing."""
        self.compared = 0
        self.agreed = 0
        self.first_split: int | None = None

    def add(
        self,
        step: int,
        *,
        kl: float | None,
        kl_local: float | None,
        tv_local: float | None,
        log_ratio: float | None,
        agree: bool | None,
        split: bool,
    ) -> Sums:
        """The sums up to and including this step; None stands for a figure the step does not have.

        `kl` in nats on each model's own context, `kl_local` and `tv_local` on the shared one, `log_ratio`
        = log p(y) - log q(y) of the token taken there.
        """
        if kl is not None:
            self.kl += kl
        if kl_local is not None:
            self.kl_local += kl_local
        if tv_local is not None:
            self.log_survival += math.log1p(-tv_local) if tv_local < 1 else -math.inf
        if log_ratio is not None:
            self.log_ratio += log_ratio
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
        )

    @classmethod
    def after(cls, records: Sequence[StepRecord]) -> Accumulator:
        """The accumulator as it stood after these records, ready to go on from there."""
        state = cls()
        for record in records:
            state.add_record(record)
        if records:
            state.log_ratio = records[-1].sum.log_ratio
        return state

    def add_record(self, record: StepRecord, exact: float | None = None) -> Sums:
        """The sums after a step that has been measured already.

        `exact` is log p(y) - log q(y) as the logits give it. Without it, it is formed from the two probabilities,
        which may be too small for numbers.
        """
        shared, taken = record.shared, record.taken
        if exact is None and shared and taken:
            exact = log_ratio(taken.p, taken.q)
        return self.add(
            record.step,
            kl=record.p.kl if record.p else None,
            kl_local=shared.p.kl if shared else None,
            tv_local=shared.p.tv if shared else None,
            log_ratio=exact,
            agree=record.agree,
            split=record.split,
        )


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

    @property
    def drift(self) -> float:
        """The part of ΣKL that comes from the contexts having parted: total less local."""
        return self.kl_sum - self.kl_local_sum


def summarise(records: Sequence[StepRecord]) -> Summary:
    """The summary of a path from its first step on."""
    state = Accumulator()
    plain: list[float] = []
    local: list[float] = []
    differences: list[float] = []
    run = longest = invalid = 0
    for record in records:
        state.add_record(record)
        shared = record.shared
        invalid += record.invalid is not None
        if record.p is not None:
            plain.append(record.p.kl)
        if shared is not None:
            local.append(shared.p.kl)
            if record.taken is not None:
                differences.append(record.taken.p - record.taken.q)
        if record.agree is not None:
            run = run + 1 if record.agree else 0
            longest = max(longest, run)
    if records:
        state.log_ratio = records[-1].sum.log_ratio
    count = len(differences)
    half_life = None
    if state.log_survival < 0:
        half_life = 0.0 if math.isinf(state.log_survival) else len(local) * math.log(2) / -state.log_survival
    return Summary(
        steps=len(records),
        compared=state.compared,
        invalid=invalid,
        kl_sum=state.kl,
        kl_local_sum=state.kl_local,
        kl=spread(plain),
        kl_local=spread(local),
        log_ratio=state.log_ratio,
        perplexity_ratio=_exp(state.log_ratio / count) if count else 1.0,
        survival=math.exp(state.log_survival),
        log_survival=state.log_survival,
        half_life=half_life,
        agree_rate=state.agreed / state.compared if state.compared else 1.0,
        longest_agreement=longest,
        first_split=state.first_split,
        rms_p_minus_q=math.sqrt(sum(d * d for d in differences) / count) if count else 0.0,
    )


def spread(values: Sequence[float]) -> Spread | None:
    """Mean, quantiles and maximum; None of no values."""
    if not values:
        return None
    ordered = sorted(values)
    return Spread(
        mean=math.fsum(ordered) / len(ordered) if math.isfinite(ordered[-1]) else ordered[-1],
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
