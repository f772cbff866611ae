"""The summary of a growing path, kept up step by step so that ten thousand steps cost no more than ten."""

from __future__ import annotations

import math
from bisect import insort
from collections.abc import Sequence

from probes.accumulate import Accumulator, Spread, Summary, quantile
from probes.record import StepRecord


class Tally:
    """Gives what `probes.accumulate.summarise` gives, without walking the path again."""

    def __init__(self) -> None:
        self._state = Accumulator()
        self._steps = self._invalid = 0
        self._run = self._longest = 0
        self._plain: list[float] = []
        self._local: list[float] = []
        self._taken = 0
        self._squares = 0.0

    def add(self, record: StepRecord) -> None:
        self._state.add_record(record)
        self._steps += 1
        self._invalid += record.invalid is not None
        shared = record.shared
        if record.p is not None:
            insort(self._plain, record.p.kl)
        if shared is not None:
            insort(self._local, shared.p.kl)
            if record.taken is not None:
                self._taken += 1
                self._squares += (record.taken.p - record.taken.q) ** 2
        if record.agree is not None:
            self._run = self._run + 1 if record.agree else 0
            self._longest = max(self._longest, self._run)

    def summary(self) -> Summary:
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
            survival=math.exp(state.log_survival),
            log_survival=state.log_survival,
            half_life=half_life,
            agree_rate=state.agreed / state.compared if state.compared else 1.0,
            longest_agreement=self._longest,
            first_split=state.first_split,
            rms_p_minus_q=math.sqrt(self._squares / self._taken) if self._taken else 0.0,
        )


def _spread(ordered: Sequence[float], total: float) -> Spread | None:
    if not ordered:
        return None
    return Spread(
        mean=total / len(ordered),
        median=quantile(ordered, 0.5),
        p90=quantile(ordered, 0.9),
        p99=quantile(ordered, 0.99),
        max=ordered[-1],
    )


def _exp(exponent: float) -> float:
    try:
        return math.exp(exponent)
    except OverflowError:
        return math.inf
