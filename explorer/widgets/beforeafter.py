"""What another prune setting changed: every accumulated figure before and after, on the same context."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.text import Text
from textual.geometry import Size

from explorer import numbers
from explorer.display import fit, flowing
from explorer.trials import Outcome
from explorer.widgets.drawn import Drawn, Pieces
from probes.accumulate import Summary

Figure = tuple[str, Callable[[Summary], float | None], Callable[[float], str]]
FIGURES: tuple[Figure, ...] = (
    ("ΣKL ↓", lambda s: s.kl_local_sum, numbers.significant),
    ("ΣKL total ↓", lambda s: s.kl_sum, numbers.significant),
    ("mean KL ↓", lambda s: s.kl_local.mean if s.kl_local else None, numbers.significant),
    ("largest KL ↓", lambda s: s.kl_local.max if s.kl_local else None, numbers.significant),
    ("survival ↑", lambda s: s.survival, numbers.chance),
    ("half-life ↑", lambda s: s.half_life, numbers.significant),
    ("same top-1 ↑", lambda s: s.agree_rate, numbers.percent),
    ("perplexity ↓", lambda s: s.perplexity_ratio, numbers.times),
    ("longest run ↑", lambda s: float(s.longest_agreement), numbers.plain),
    ("first split ↑", lambda s: float(s.first_split) if s.first_split else None, numbers.plain),
)
"""Name with the way that is better, where it is in a summary, how it is written."""


class BeforeAfter(Drawn, can_focus=True):
    """Two pairs of columns: over the whole run, and up to the cursor."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="before-after", classes="panel")
        self._outcome: Outcome | None = None
        self._waiting = False

    def show(self, outcome: Outcome | None, waiting: bool) -> None:
        self._outcome, self._waiting = outcome, waiting
        self.entitle(Text("before → after"), Text(f"{outcome.steps} steps" if outcome else ""))
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        palette, outcome = self.palette, self._outcome
        if outcome is None:
            told = "Measuring the same steps again …" if self._waiting else "Apply a change to see what it does."
            return [[(f" {told}", palette.muted)]]
        label = 15
        value = max(7, (size.width - label - 1) // 4)
        lines: list[Pieces] = [
            [(f" {fit(flowing(outcome.before), size.width - 2)}", palette.muted)],
            [(f" → {fit(flowing(outcome.after), size.width - 4)}", palette.pruned)],
            [
                (" " * (label + 1), None),
                (f"all {outcome.steps}".rjust(2 * value), palette.muted),
                (f"up to {outcome.cursor}".rjust(2 * value), palette.muted),
            ],
        ]
        for name, read, write in FIGURES:
            line: Pieces = [(f" {name:<{label}}", palette.muted)]
            for before, after in (outcome.whole, outcome.at):
                old, new = read(before), read(after)
                line.append((_shown(old, write).rjust(value), palette.text))
                line.append((_shown(new, write).rjust(value), palette.strong if old != new else palette.muted))
            lines.append(line)
        return lines


def _shown(value: float | None, write: Callable[[float], str]) -> str:
    return numbers.NONE if value is None else write(value)
