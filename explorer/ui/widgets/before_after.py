"""What another prune setting changed: every accumulated figure before and after, on the same context."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from rich.text import Text
from textual.geometry import Size

from explorer.state.outcome import Outcome, Stretch
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words import numbers
from explorer.words.token_text import fit, flowing, wrapped
from probes.schema.summary import Summary

Figure = tuple[str, Callable[[Stretch], tuple[float | None, float | None]], Callable[[float], str]]


def _of(read: Callable[[Summary], float | None]) -> Callable[[Stretch], tuple[float | None, float | None]]:
    return lambda stretch: (read(stretch.before), read(stretch.after))


OWN: Figure = ("ΣKL own ↓", lambda s: s.own or (None, None), numbers.significant)
"""Of each model on its own text; there is one only if the texts have diverged."""
FIGURES: tuple[Figure, ...] = (
    ("ΣKL ↓", _of(lambda s: s.kl_shared_sum), numbers.significant),
    OWN,
    ("mean KL ↓", _of(lambda s: s.kl_shared.mean if s.kl_shared else None), numbers.significant),
    ("largest KL ↓", _of(lambda s: s.kl_shared.max if s.kl_shared else None), numbers.significant),
    ("survival ↑", _of(lambda s: s.survival), numbers.chance),
    ("half-life ↑", _of(lambda s: s.half_life), numbers.significant),
    ("same top-1 ↑", _of(lambda s: s.agree_rate), numbers.percent),
    ("ppl ratio ↓", _of(lambda s: s.perplexity_ratio), numbers.times),
    ("longest run ↑", _of(lambda s: float(s.longest_agreement)), numbers.plain),
    ("first split ↑", _of(lambda s: float(s.first_split) if s.first_split else None), numbers.plain),
)
"""Name with the way that is better, where its two figures are, how they are written."""
ROOMY_PAIR = 17
"""Cells from which on two figures and the arrow between them have air."""
NAME_WIDTH = 13
"""Cells of the longest name."""


class BeforeAfter(LineWidget, can_focus=True):
    """Two pairs of columns: over all steps that both settings have, and up to the cursor."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="before-after", classes="panel")
        self._outcome: Outcome | None = None
        self._measured: tuple[int, int] | None = None

    def show(self, outcome: Outcome | None, measured: tuple[int, int] | None) -> None:
        """`measured` says how far the steps to compare are, while there is no outcome."""
        self._outcome, self._measured = outcome, measured
        self.entitle(Text("before → after"), Text(_steps(outcome) if outcome else ""))
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        palette, outcome = self.palette, self._outcome
        if outcome is None:
            told = "Apply a change to see what it does."
            if self._measured is not None:
                done, all_ = self._measured
                told = f"Measuring the same steps again: {done} of {all_} …"
            return [[(f" {part}", palette.muted)] for part in wrapped(told, size.width - 2)]
        pair = max(9, (size.width - NAME_WIDTH - 2) // 2)
        stretches = (outcome.whole, outcome.at)
        lines: list[Pieces] = [
            [
                (" " * (NAME_WIDTH + 1), None),
                (f"all {outcome.whole.steps}".center(pair), palette.muted),
                (f"up to {outcome.cursor}".center(pair), palette.muted),
            ],
            [
                (f" {'by ΣKL':<{NAME_WIDTH}}", palette.muted),
                *((one.verdict.center(pair), palette.strong) for one in stretches),
            ],
        ]
        figures = [figure for figure in FIGURES if figure is not OWN or outcome.whole.own is not None]
        if size.height >= len(figures) + 4:
            lines = [
                [(f" {fit(flowing(str(outcome.before or 'made elsewhere')), size.width - 2)}", palette.muted)],
                [(f" → {fit(flowing(str(outcome.after)), size.width - 4)}", palette.pruned)],
                *lines,
            ]
        for name, read, write in figures:
            line: Pieces = [(f" {name:<{NAME_WIDTH}}", palette.muted)]
            for stretch in stretches:
                line += self._pair(*read(stretch), write, pair)
            lines.append(line)
        if len(lines) > size.height:
            lines[max(0, size.height - 1) :] = [[(" … z shows all", palette.muted)]]
        return lines

    def _pair(self, old: float | None, new: float | None, write: Callable[[float], str], width: int) -> Pieces:
        """Before, an arrow, after; what changed stands out."""
        arrow = " → " if width >= ROOMY_PAIR else "→"
        half = (width - len(arrow)) // 2
        return [
            (_shown(old, write).rjust(half), self.palette.text),
            (arrow, self.palette.muted),
            (
                _shown(new, write).ljust(width - len(arrow) - half),
                self.palette.strong if old != new else self.palette.muted,
            ),
        ]


def _steps(outcome: Outcome) -> str:
    """How many steps are compared, and of how many."""
    left_out = f" of {outcome.of}" if outcome.of > outcome.whole.steps else ""
    return f"the same {outcome.whole.steps}{left_out} steps of both"


def _shown(value: float | None, write: Callable[[float], str]) -> str:
    return numbers.NONE if value is None else write(value)
