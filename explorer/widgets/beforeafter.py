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
ROOMY = 17
"""Cells from which on two figures and the arrow between them have air."""
LABEL = 13
"""Cells of the longest name."""


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
        pair = max(9, (size.width - LABEL - 2) // 2)
        lines: list[Pieces] = [
            [
                (" " * (LABEL + 1), None),
                (f"all {outcome.steps}".center(pair), palette.muted),
                (f"up to {outcome.cursor}".center(pair), palette.muted),
            ]
        ]
        if size.height >= len(FIGURES) + 3:
            lines = [
                [(f" {fit(flowing(outcome.before), size.width - 2)}", palette.muted)],
                [(f" → {fit(flowing(outcome.after), size.width - 4)}", palette.pruned)],
                *lines,
            ]
        for name, read, write in FIGURES:
            line: Pieces = [(f" {name:<{LABEL}}", palette.muted)]
            for before, after in (outcome.whole, outcome.at):
                line += self._pair(read(before), read(after), write, pair)
            lines.append(line)
        if len(lines) > size.height:
            lines[max(0, size.height - 1) :] = [[(" … z shows all", palette.muted)]]
        return lines

    def _pair(self, old: float | None, new: float | None, write: Callable[[float], str], width: int) -> Pieces:
        """Before, an arrow, after; what changed stands out."""
        arrow = " → " if width >= ROOMY else "→"
        half = (width - len(arrow)) // 2
        return [
            (_shown(old, write).rjust(half), self.palette.text),
            (arrow, self.palette.muted),
            (
                _shown(new, write).ljust(width - len(arrow) - half),
                self.palette.strong if old != new else self.palette.muted,
            ),
        ]


def _shown(value: float | None, write: Callable[[float], str]) -> str:
    return numbers.NONE if value is None else write(value)
