"""What is searched in a run: a text, a bound on a figure, an event of a step; read from what a person typed."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import cache

from probes.schema.errors import BadInput
from probes.schema.flat_step import figure_named, figures
from probes.schema.nearest import did_you_mean
from probes.schema.record import Comparison, StepRecord
from probes.schema.until import unescaped

QUERY_GRAMMAR = "a text, kl>0.5, margin<0.1, z.rms>=2, split, diverge, forced, tied, invalid, eos, marked, kl>1 & split"
"""An example of each kind, for help texts."""
LONGEST_QUERY = 500
"""Characters."""

MARKED = "marked"
_EVENTS: Mapping[str, Callable[[StepRecord], bool]] = {
    "split": lambda record: record.split,
    "diverge": lambda record: record.diverges,
    "forced": lambda record: any(one is not None and one.forced for one in (record.taken, record.taken_pruned)),
    "tied": lambda record: bool(record.tied),
    "invalid": lambda record: record.invalid is not None,
    "eos": lambda record: any(one is not None and one.end for one in (record.taken, record.taken_pruned)),
}
_SIGNS: Mapping[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
_BOUND = re.compile(r"([^\W\d][\w.]*)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?)", re.IGNORECASE)
_MEANT = re.compile(r"([^\W\d][\w.]*)\s*(?:[<>=≤≥≠]|!=)")
"""How a condition begins."""
_QUOTED = re.compile(r'"(.+)"', re.DOTALL)


@dataclass(frozen=True, slots=True)
class WantedText:
    """A text in either panel. Capital letters count only if it has some."""

    text: str

    @property
    def exact(self) -> bool:
        return self.text != self.text.lower()


@dataclass(frozen=True, slots=True)
class WantedFigure:
    """A figure on one side of a bound."""

    name: str
    """Its full name, such as "shared.p.kl"; or "margin"."""
    sign: str
    bound: float

    def at(self, record: StepRecord) -> bool:
        return self.holds(margin(record) if self.name == "margin" else figure_named(record, self.name))

    def holds(self, value: float | None) -> bool:
        return value is not None and _SIGNS[self.sign](value, self.bound)


@dataclass(frozen=True, slots=True)
class WantedEvent:
    """Something that happens at a step; `marked` is known by the marks and not by the step."""

    name: str

    def at(self, record: StepRecord) -> bool:
        return _EVENTS[self.name](record)


Wanted = WantedText | WantedFigure | WantedEvent


def parse_query(text: str) -> tuple[Wanted, ...]:
    """The conditions that a step must meet, divided by ` & `. Raises `BadInput` if there is none, or for a figure that
    no step has."""
    return parse_conditions(text, (MARKED, *_EVENTS), _full_name, QUERY_GRAMMAR)


def parse_conditions(
    text: str, events: Collection[str], full_name: Callable[[str], str], grammar: str
) -> tuple[Wanted, ...]:
    """Conditions divided by ` & `: a text, one of the `events`, or a bound on a figure, whose name `full_name` looks up
    or refuses. Raises `BadInput` if there is none, or for more than `LONGEST_QUERY` characters."""
    if len(text) > LONGEST_QUERY:
        raise BadInput("Find", f"{len(text):,} characters are too long to find.", f"Type at most {LONGEST_QUERY}.")
    found = tuple(_wanted(part, events, full_name) for part in text.split(" & ") if part.strip())
    if not found:
        raise BadInput("Find", "There is nothing to find.", f"Type one of: {grammar}.")
    return found


def margin(record: StepRecord) -> float | None:
    """ln p(a) - ln p(b), how much likelier the dense model finds its own choice `a` than `b`: the pruned model's
    choice, or its own next likeliest if both choose `a`. Infinite if p(b) is 0; None if the table lacks either."""
    found = record.shared or record.own
    if found is None or record.dense is None:
        return None
    chances = {row.token_id: row.p for row in found.top}
    a = record.dense.token_id
    b = record.pruned.token_id if record.pruned is not None else a
    if b == a:
        b = _next_likeliest(found, a)
    if a not in chances or b not in chances:
        return None
    return _log(chances[a]) - _log(chances[b]) if chances[a] else None


def _next_likeliest(found: Comparison, but: int) -> int:
    return min(((row.rank_dense, row.token_id) for row in found.top if row.token_id != but), default=(0, -1))[1]


def _log(chance: float) -> float:
    return math.log(chance) if chance > 0 else -math.inf


def _wanted(part: str, events: Collection[str], full_name: Callable[[str], str]) -> Wanted:
    bare = part.strip()
    if bare in events:
        return WantedEvent(bare)
    if quoted := _QUOTED.fullmatch(bare):
        return WantedText(unescaped(quoted[1]))
    if bound := _BOUND.fullmatch(bare):
        name, sign, number = bound.groups()
        return WantedFigure(full_name(name), sign, float(number))
    if (meant := _MEANT.match(bare)) and _is_known(meant[1], full_name):
        raise BadInput(
            "Find",
            f"{bare} is not a condition: after {meant[1]} belongs one of > >= < <=, and then a number.",
            f'Quotation marks search for it as a text: "{bare}".',
        )
    return WantedText(unescaped(part))


def _is_known(name: str, full_name: Callable[[str], str]) -> bool:
    try:
        full_name(name)
    except BadInput:
        return False
    return True


def _full_name(name: str) -> str:
    known = query_names()
    found = known.get(name) or known.get(name.lower())
    if found is None:
        meant = did_you_mean(name.lower(), known)
        raise BadInput(
            "Find",
            f"No figure of a step is called {name}.",
            f'{meant}Quotation marks search for it as a text: "{name}".',
        )
    return found


@cache
def query_names() -> Mapping[str, str]:
    """The full name of every name that a query takes: full ones, those of `--until`, and the last word of a figure that
    only one space has; it is then the figure on the shared context."""
    ends: dict[str, list[str]] = {}
    for full in figures():
        space, _, end = full.removeprefix("shared.").partition(".")
        if (full.startswith("shared.") and space in "hzp") or space == "sum":
            ends.setdefault(end, []).append(full)
    short = {end: full for end, fulls in ends.items() for full in fulls if len(fulls) == 1}
    # As in --until, `kl` is of one step on the shared context, though the sum has that end too.
    return (
        short
        | {"kl": "shared.p.kl", "ΣKL": "sum.kl_shared", "σkl": "sum.kl_shared", "margin": "margin"}
        | {full: full for full in figures()}
    )
