"""The amounts of a method that a search may try, and bisection among them. Free of torch."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from probes.schema.errors import BadInput
from probes.schema.nearest import did_you_mean
from probes.schema.prune_setting import Method, SettingPart, parse
from probes.schema.sweep import Candidate

STEP = 0.05
"""The distance of two ratios that are tried, unless another one is given."""
MOST_RATIO = 0.95
"""The largest ratio that is tried."""
SEARCHED = tuple(method for method in Method if not method.restores)
_NEXT_METHOD = re.compile(rf",(?=\s*(?:{'|'.join(sorted(SEARCHED, key=len, reverse=True))})\s*(?:@|,|$))")


@dataclass(frozen=True, slots=True)
class Family:
    """A method with its targets, and the amounts that it may be given."""

    text: str
    """With {} for the amount: "wanda:{}@mlp"."""
    part: SettingPart
    """The part with the smallest amount."""
    amounts: tuple[float, ...]
    """Ascending: ratios, or numbers of layers."""

    @property
    def method(self) -> Method:
        return self.part.method

    @property
    def allocatable(self) -> bool:
        """Can its amount be shared out among the layers by `owl=` and `table=`?"""
        return self.method.unstructured and self.method not in (Method.MAGNITUDE_GLOBAL, Method.RANDOM)

    def at(self, amount: float) -> Candidate:
        """The uniform setting of this amount."""
        return Candidate(str(parse(self.text.format(f"{amount:g}"))), self.text, amount)


def families(names: Sequence[str], layers: int, step: float = STEP) -> tuple[Family, ...]:
    """The families of some methods, each METHOD[@TARGETS], or several with commas between.

    Ratios ascend by `step`, in (0, 1), to at most `MOST_RATIO`; numbers of layers by 1, to one fewer than `layers` (or
    than the layers that are targets). Raises `BadInput`.
    """
    if not 0 < step <= MOST_RATIO:
        raise BadInput("Step", f"{step:g} is no distance of two ratios.", f"Use one above 0, up to {MOST_RATIO:g}.")
    found: dict[str, Family] = {}
    for text in (one.strip() for given in names for one in _NEXT_METHOD.split(given)):
        family = _family(text, layers, step)
        if family.text in found:
            raise BadInput("Methods", f"{text} is named twice.", "Name each method once.")
        found[family.text] = family
    return tuple(found.values())


def _family(text: str, layers: int, step: float) -> Family:
    name, at, targets = text.partition("@")
    method = next((one for one in SEARCHED if one == name.strip().lower()), None)
    if method is None:
        reason = f"{name.strip()!r} is not a method that has an amount."
        near = did_you_mean(name.strip().lower(), SEARCHED)
        raise BadInput(
            "Methods", reason, f"{near}Name methods without an amount: wanda,magnitude,drop-attn@layers=8-29."
        )
    template = f"{method}:{{}}{at}{targets.strip()}"
    part = parse(template.format(1 if method.drops else 0.5)).parts[0]
    if method.drops:
        among = len(part.targets.layers) if part.targets.layers is not None else layers - 1
        amounts = tuple(float(number) for number in range(1, among + 1))
    else:
        amounts = tuple(round(step * n, 10) for n in range(1, int(MOST_RATIO / step + 1e-9) + 1))
    if not amounts:
        raise BadInput("Methods", f"{text} can remove nothing from a model with {layers} layers.", "Choose another.")
    return Family(f"{method}:{{}}{part.targets}", part, amounts)


def most_settings(of: Sequence[Family], trials: int | None = None) -> int:
    """The most settings that the bisection of these families tries, or `trials` if that is less."""
    most = sum(len(family.amounts).bit_length() for family in of)
    return most if trials is None else min(most, trials)


class Bisection:
    """Finds the largest of some ascending amounts that holds, taking for granted that all below it hold too.

    Each answer halves the amounts that are left, so that n amounts need at most ⌈log₂(n + 1)⌉ answers.
    """

    def __init__(self, amounts: Sequence[float]) -> None:
        self.amounts = tuple(amounts)
        self._low, self._high = -1, len(self.amounts)
        """The largest that holds, the smallest that does not."""

    @property
    def asks(self) -> float | None:
        """The amount to try next; None at the end."""
        return None if self._high - self._low == 1 else self.amounts[(self._low + self._high) // 2]

    def tell(self, holds: bool) -> None:
        """Takes the answer to `asks`."""
        middle = (self._low + self._high) // 2
        if holds:
            self._low = middle
        else:
            self._high = middle

    @property
    def best(self) -> float | None:
        """The largest amount that holds, of those answered."""
        return None if self._low < 0 else self.amounts[self._low]

    @property
    def above(self) -> float | None:
        """The smallest amount known not to hold."""
        return self.amounts[self._high] if self._high < len(self.amounts) else None
