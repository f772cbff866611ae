"""Run-until conditions: read from text, met or not after each step."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from probes.schema.errors import BadInput
from probes.schema.record import StepRecord

GRAMMAR = "split, kl>2, sum.kl>10, survival<0.01, loop, token=TEXT, steps=20"
"""One of each, for help texts."""


class Until(Protocol):
    """A reason to stop."""

    def met(self, path: Sequence[StepRecord]) -> str:
        """A sentence that says why to stop after the last of these steps, or "" to go on."""


@dataclass(frozen=True, slots=True)
class Split:
    """The two choices differ."""

    def met(self, path: Sequence[StepRecord]) -> str:
        last = path[-1]
        if last.split and last.dense and last.pruned:
            return f"The choices differ at step {last.step}: {last.dense.token!r} against {last.pruned.token!r}."
        return ""


@dataclass(frozen=True, slots=True)
class Beyond:
    """A figure passes a bound. KL is the shared context's, so that drift alone does not stop a run."""

    name: str
    bound: float

    def met(self, path: Sequence[StepRecord]) -> str:
        last = path[-1]
        if self.name == "kl":
            shared = last.shared
            if shared is not None and shared.p.kl > self.bound:
                return f"KL {shared.p.kl:.3g} at step {last.step} is above {self.bound:g}."
        elif self.name == "sum.kl":
            if last.sum.kl_local > self.bound:
                return f"ΣKL {last.sum.kl_local:.3g} at step {last.step} is above {self.bound:g}."
        elif last.sum.survival < self.bound:
            return f"Survival {last.sum.survival:.2g} at step {last.step} is below {self.bound:g}."
        return ""


@dataclass(frozen=True, slots=True)
class Loop:
    """Either text repeats itself: the same tokens, at least `least` in all, three times or more in a row."""

    least: int = 12

    def met(self, path: Sequence[StepRecord]) -> str:
        texts = {"text": [step.taken for step in path]}
        if any(step.taken_pruned for step in path):
            own = [step.taken_pruned or (step.taken if step.same_context else None) for step in path]
            texts = {"pruned text": own, "dense text": texts["text"]}
        for name, taken in texts.items():
            period = self._period([one.token_id for one in taken if one is not None])
            if period:
                unit = "token" if period == 1 else f"{period} tokens"
                return f"The {name} repeats its last {unit} at step {path[-1].step}."
        return ""

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

    def met(self, path: Sequence[StepRecord]) -> str:
        last = path[-1]
        for taken in (last.taken, last.taken_pruned):
            if taken is not None and self.text in (taken.token, taken.token.strip()):
                return f"The token {taken.token!r} was taken at step {last.step}."
        return ""


@dataclass(frozen=True, slots=True)
class Steps:
    """A number of further steps; `start` is how many there were when the run was resumed."""

    count: int
    start: int = 0

    def met(self, path: Sequence[StepRecord]) -> str:
        return f"{self.count} steps are done." if len(path) - self.start >= self.count else ""


_BOUND = re.compile(r"(kl|sum\.kl|ΣKL|survival)\s*([<>])\s*(\S+)$")


def parse_until(text: str, start: int = 0) -> Until:
    """Reads one condition of `GRAMMAR`. Raises `BadInput` where it is none."""
    if text.lstrip().startswith("token="):
        token = unescaped(text.lstrip().removeprefix("token="))
        if token:
            return TokenTaken(token)
    text = text.strip()
    if text == "split":
        return Split()
    if text == "loop":
        return Loop()
    try:
        if text.startswith("steps="):
            count = int(text.removeprefix("steps="))
            if count >= 1:
                return Steps(count, start)
        elif found := _BOUND.match(text):
            name, sign, bound = found.groups()
            name = "sum.kl" if name == "ΣKL" else name
            if sign == ("<" if name == "survival" else ">"):
                number = float(bound)
                if 0 < number <= 1 if name == "survival" else 0 <= number < math.inf:
                    return Beyond(name, number)
    except ValueError:
        pass
    raise BadInput("Run until", f"{text!r} is not a condition.", f"Use one of: {GRAMMAR}.")


def unescaped(text: str) -> str:
    """Text in which a line break and a tab may have been typed as \\n and \\t, and a backslash as two."""
    return _ESCAPE.sub(lambda found: {"n": "\n", "t": "\t", "\\": "\\"}[found[1]], text)


_ESCAPE = re.compile(r"\\([nt\\])")


def first_met(conditions: Sequence[Until], path: Sequence[StepRecord]) -> str:
    """The sentence of the first condition that is met after the path's last step, or ""."""
    return next((sentence for until in conditions if (sentence := until.met(path))), "") if path else ""
