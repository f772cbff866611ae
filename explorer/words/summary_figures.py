"""The catalogue of a run's figures: label, unit, which way is better, how each is written, where it is in a summary.

The table in the shell, the comparison, the accumulated panel, before and after, and the page take their rows from
here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum

from explorer.words import numbers
from explorer.words.figures import Better
from probes.schema.summary import Summary, summary_value


class Written(Enum):
    """How a figure is written."""

    NUMBER = "three significant digits"
    WHOLE = "a count"
    SHARE = "percent, or a power of ten if it is tiny"
    RATIO = "a factor"


class Over(Enum):
    """The steps over which a figure is taken."""

    SHARED = "steps at which both models are compared on one context"
    BOTH = "steps at which both models generate"
    PATH = "all steps"


@dataclass(frozen=True, slots=True)
class SummaryFigure:
    """One figure of a run."""

    key: str
    """Its dotted name in `Summary`: "kl_shared.mean"."""
    label: str
    short: str
    """The label in a narrow panel."""
    better: Better
    written: Written = Written.NUMBER
    unit: str = ""
    over: Over = Over.SHARED
    own: str = ""
    """The key of the same figure with each model on its own context, if there is one."""
    missing: str = numbers.NONE
    """The text if there is no such figure."""

    def of(self, summary: Summary) -> float | None:
        """The figure of a run, or None if the run has none."""
        return summary_value(summary, self.key)

    def of_own(self, summary: Summary) -> float | None:
        """The same figure with each model on its own context."""
        return summary_value(summary, self.own)

    def text(self, value: float | None, digits: int = 3) -> str:
        """A value as a person reads it, without its unit."""
        if value is None:
            return self.missing
        match self.written:
            case Written.SHARE:
                return numbers.chance(value)
            case Written.RATIO:
                return numbers.odd(value) or f"×{numbers.significant(value, digits)}"
            case Written.WHOLE if math.isfinite(value) and value == round(value):
                return str(round(value))
        return numbers.significant(value, digits)

    def text_with_unit(self, value: float | None, digits: int = 3) -> str:
        """A value with its unit: "3.2 nat", "step 12"."""
        text = self.text(value, digits)
        if value is None or not self.unit:
            return text
        return f"step {text}" if self.unit == "step" else f"{text} {self.unit}"


LOWER, HIGHER = Better.LOWER, Better.HIGHER
NEITHER = Better.NEITHER
_ALL = (
    SummaryFigure("steps", "steps", "steps", NEITHER, Written.WHOLE, over=Over.PATH),
    SummaryFigure("compared", "steps compared", "compared", NEITHER, Written.WHOLE, over=Over.PATH),
    SummaryFigure("kl_shared_sum", "ΣKL, shared context", "ΣKL", LOWER, unit="nat", own="kl_sum"),
    SummaryFigure("kl_sum", "ΣKL, own contexts", "ΣKL own", LOWER, unit="nat", over=Over.BOTH),
    SummaryFigure("kl_shared_both", "ΣKL while both generate", "while both", LOWER, unit="nat", own="kl_sum"),
    SummaryFigure("drift", "drift", "drift", LOWER, unit="nat", over=Over.BOTH),
    SummaryFigure("kl_shared.mean", "mean KL a step", "mean KL", LOWER, unit="nat", own="kl.mean"),
    SummaryFigure("kl_shared.median", "median KL", "median KL", LOWER, unit="nat", own="kl.median"),
    SummaryFigure("kl_shared.p90", "90 % of KL below", "KL 90 %", LOWER, unit="nat", own="kl.p90"),
    SummaryFigure("kl_shared.p99", "99 % of KL below", "KL 99 %", LOWER, unit="nat", own="kl.p99"),
    SummaryFigure("kl_shared.max", "largest KL", "largest KL", LOWER, unit="nat", own="kl.max"),
    SummaryFigure("survival", "survival", "survival", HIGHER, Written.SHARE),
    SummaryFigure("half_life", "half-life", "half-life", HIGHER, Written.WHOLE, unit="tokens"),
    SummaryFigure("log_ratio", "log ratio", "log ratio", LOWER, unit="nat"),
    SummaryFigure("scored", "tokens scored", "scored", NEITHER, Written.WHOLE),
    SummaryFigure("perplexity_ratio", "perplexity ratio", "ppl ratio", LOWER, Written.RATIO),
    SummaryFigure("perplexity_dense", "perplexity, dense", "ppl dense", NEITHER),
    SummaryFigure("perplexity_pruned", "perplexity, pruned", "ppl pruned", LOWER),
    SummaryFigure("nll_dense", "NLL, dense", "NLL dense", NEITHER, unit="nat"),
    SummaryFigure("nll_pruned", "NLL, pruned", "NLL pruned", LOWER, unit="nat"),
    SummaryFigure("agree_rate", "same top-1", "same top-1", HIGHER, Written.SHARE, over=Over.BOTH),
    SummaryFigure(
        "longest_agreement", "longest run", "longest run", HIGHER, Written.WHOLE, unit="tokens", over=Over.BOTH
    ),
    SummaryFigure(
        "first_split", "first split", "first split", HIGHER, Written.WHOLE, unit="step", over=Over.PATH, missing="none"
    ),
    SummaryFigure("rms_p_minus_q", "rms p(y) − q(y)", "rms p − q", LOWER),
    SummaryFigure("watched_kl", "mean KL, watched tokens", "watched KL", LOWER, unit="nat"),
    SummaryFigure("watched_agree_rate", "same top watched token", "watched top", HIGHER, Written.SHARE),
    SummaryFigure("invalid", "invalid steps", "invalid steps", LOWER, Written.WHOLE, over=Over.PATH),
)

SUMMARY_FIGURES = {figure.key: figure for figure in _ALL}


def summary_figures(*keys: str) -> tuple[SummaryFigure, ...]:
    """The figures of these keys, in this order."""
    return tuple(SUMMARY_FIGURES[key] for key in keys)
