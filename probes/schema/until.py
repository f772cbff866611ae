"""Run-until conditions: read from text, and tested after each step.

A full name is that of the JSON: `sum.kl>20` tests the sum with each model on its own context, and `sum.kl_shared>20`
the sum on the shared one. `kl` is short for `shared.p.kl`, `ΣKL` for `sum.kl_shared` and `survival` for `sum.survival`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from probes.schema.bounds import Bounded, Natural
from probes.schema.errors import BadInput
from probes.schema.flat_step import figure_named, figures
from probes.schema.nearest import did_you_mean
from probes.schema.record import StepRecord

UNTIL_GRAMMAR = "split, diverge, kl>2, sum.kl>10, h.cos<0.9, survival<0.01, loop, eos, token=TEXT, steps=20"
"""An example of each condition, for help texts; a bound takes any figure of a step by its full name."""


@dataclass(frozen=True, slots=True)
class Met:
    """A condition that is met, with the data that a sentence about it needs (`explorer.words.pauses` writes it)."""

    condition: str
    """As `UNTIL_GRAMMAR` writes it."""
    step: Natural
    """The step after which it is met."""
    value: Bounded | None = None
    """The figure that passed the bound."""
    tokens: tuple[str, ...] = ()
    """The two choices that differ, or the token that was taken."""
    side: str = ""
    """The model whose own text repeats itself: "dense" or "pruned"; "" if both read one text."""
    period: Natural = 0
    """The length of the repeated sequence in tokens."""


class Until(Protocol):
    """A condition to stop at."""

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        """The condition with its data if it is met after the last of these steps, else None."""


@dataclass(frozen=True, slots=True)
class Split:
    """The two choices differ."""

    def __str__(self) -> str:
        return "split"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        last = path[-1]
        if last.split and last.dense and last.pruned:
            return Met(str(self), last.step, tokens=(last.dense.token, last.pruned.token))
        return None


@dataclass(frozen=True, slots=True)
class Diverge:
    """The texts differ from this step on."""

    def __str__(self) -> str:
        return "diverge"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        last = path[-1]
        if last.diverges and last.taken and last.taken_pruned:
            return Met(str(self), last.step, tokens=(last.taken.token, last.taken_pruned.token))
        return None


@dataclass(frozen=True, slots=True)
class Bound:
    """A figure is above or below a bound."""

    name: str
    """A full name, or a short one: "sum.kl_shared", "kl"."""
    above: bool
    bound: float

    def __str__(self) -> str:
        return f"{self.name}{'>' if self.above else '<'}{self.bound!r}"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        last = path[-1]
        full, _ = _SHORT.get(self.name, (self.name, ""))
        value = figure_named(last, full)
        if value is None or not (value > self.bound if self.above else value < self.bound):
            return None
        return Met(str(self), last.step, value=value)


@dataclass(frozen=True, slots=True)
class Loop:
    """Either text repeats itself: a sequence occurs three times or more in a row, with at least `least` tokens in
    all."""

    least: int = 12

    def __str__(self) -> str:
        return "loop"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        texts = {"": [step.taken for step in path]}
        if any(step.taken_pruned for step in path):
            own = [step.taken_pruned or (step.taken if step.same_context else None) for step in path]
            texts = {"pruned": own, "dense": texts[""]}
        for side, taken in texts.items():
            if period := self._period([one.token_id for one in taken if one is not None]):
                return Met(str(self), path[-1].step, side=side, period=period)
        return None

    def _period(self, tokens: Sequence[int]) -> int:
        for period in range(1, len(tokens) // 3 + 1):
            rounds = max(3, -(-self.least // period))
            span = period * rounds
            if span > len(tokens):
                continue
            tail = tokens[-span:]
            if tail[period:] == tail[:-period]:
                return period
        return 0


@dataclass(frozen=True, slots=True)
class TokenTaken:
    """A token with this text was taken on either context."""

    text: str

    def __str__(self) -> str:
        return f"token={escape(self.text)}"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        last = path[-1]
        for taken in (last.taken, last.taken_pruned):
            if taken is not None and self.text in (taken.token, taken.token.strip()):
                return Met(str(self), last.step, tokens=(taken.token,))
        return None


@dataclass(frozen=True, slots=True)
class End:
    """A text ends; in `free` the other model may go on."""

    def __str__(self) -> str:
        return "eos"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        last = path[-1]
        for taken in (last.taken, last.taken_pruned):
            if taken is not None and taken.end:
                return Met(str(self), last.step, tokens=(taken.token,))
        return None


@dataclass(frozen=True, slots=True)
class Steps:
    """A number of further steps; `start` is the number of steps when the run was resumed."""

    count: int
    start: int = 0

    def __str__(self) -> str:
        return f"steps={self.count}"

    def met(self, path: Sequence[StepRecord]) -> Met | None:
        return Met(str(self), path[-1].step) if len(path) - self.start >= self.count else None


_BOUND = re.compile(r"(\S+?)\s*([<>])\s*(\S+)$")
_SHORT = {"kl": ("shared.p.kl", ">"), "ΣKL": ("sum.kl_shared", ">"), "survival": ("sum.survival", "<")}
"""Short names with their figures, and the only sign that each takes."""
_EVENTS: dict[str, Until] = {str(one): one for one in (Split(), Diverge(), Loop(), End())}


def parse_until(text: str, start: int = 0) -> Until:
    """Reads one condition of `UNTIL_GRAMMAR`. Raises `BadInput` if it is none."""
    if text.lstrip().startswith("token="):
        token = unescaped(text.lstrip().removeprefix("token="))
        if token:
            return TokenTaken(token)
    text = text.strip()
    if text in _EVENTS:
        return _EVENTS[text]
    meant = ""
    try:
        if text.startswith("steps="):
            count = int(text.removeprefix("steps="))
            if count >= 1:
                return Steps(count, start)
        elif found := _BOUND.match(text):
            name, sign, number = found.groups()
            full, only = _SHORT.get(name, (name, sign))
            if full not in figures():
                meant = did_you_mean(name, figures())
            elif sign == only:
                least, most = figures()[full]
                bound = float(number)
                if least <= bound < most if sign == ">" else least < bound <= most:  # else it is met always or never
                    return Bound(name, sign == ">", bound)
    except ValueError:
        pass
    raise BadInput("Run until", f"{text!r} is not a condition.", f"{meant}Use one of: {UNTIL_GRAMMAR}.")


def check_watched(condition: Until, groups: int) -> None:
    """Raises `BadInput` for a bound on a figure of watched tokens if the run watches too few groups to have it."""
    name = condition.name.removeprefix("shared.") if isinstance(condition, Bound) else ""
    if not name.startswith("watched."):
        return
    least = 1 if name.startswith("watched.mass") else 2
    if groups < least:
        watched = f"{groups} watched group{'' if groups == 1 else 's'}"
        raise BadInput("Run until", f"{condition} is never met: the run has {watched}.", "Name more with --watch or W.")


def unescaped(text: str) -> str:
    """Text with \\n, \\t and two backslashes replaced by a line break, a tab and one backslash."""
    return _ESCAPE.sub(lambda found: {"n": "\n", "t": "\t", "\\": "\\"}[found[1]], text)


_ESCAPE = re.compile(r"\\([nt\\])")


def escape(text: str) -> str:
    """The text with escapes that `unescaped` reads."""
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t")


def first_met(conditions: Sequence[Until], path: Sequence[StepRecord]) -> Met | None:
    """The first condition that is met after the path's last step, or None."""
    return next((met for until in conditions if (met := until.met(path))), None) if path else None
