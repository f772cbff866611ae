"""The effect of a change of the prune setting: accumulated figures before and after, on the same context."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text
from textual.geometry import Size

from explorer.state.outcome import Outcome, Stretch
from explorer.ui.widgets.figure_rows import TOKENS
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.named_figures import TITLE, NamedFigures, Names
from explorer.words.bound_keys import key_of
from explorer.words.summary_figures import SummaryFigure, summary_figures
from explorer.words.token_text import fit, fit_middle, flowing, wrapped

OUTCOME_FIGURES = summary_figures(
    "kl_shared_sum",
    "kl_sum",
    "kl_shared.mean",
    "kl_shared.max",
    "survival",
    "half_life",
    "agree_rate",
    "perplexity_ratio",
    "longest_agreement",
    "first_split",
)
ROOMY_PAIR = 17
"""With at least this many cells, two figures and the arrow between them are spaced out."""
NAME_WIDTH = 13
"""Cells of the longest name."""


class BeforeAfter(NamedFigures, LineWidget, can_focus=True):
    """Two pairs of columns: over all steps that both settings have, and up to the cursor."""

    ALLOW_SELECT = True

    def names_in(self, line: int) -> Names:
        return {figure.short: figure.key for figure in OUTCOME_FIGURES} if line != TITLE else {}

    @property
    def figure_keys(self) -> Sequence[str]:
        return [figure.key for figure in OUTCOME_FIGURES]

    def __init__(self) -> None:
        super().__init__(id="before-after", classes="panel")
        self._outcome: Outcome | None = None
        self._measured: tuple[int, int] | None = None

    def show(self, outcome: Outcome | None, measured: tuple[int, int] | None) -> None:
        """`measured` is the number of steps measured again and of all to measure, while there is no outcome."""
        self._outcome, self._measured = outcome, measured
        self.entitle(Text("before → after"), Text(_steps(outcome) if outcome else ""))
        self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        palette, outcome = self.palette, self._outcome
        if outcome is None:
            sentence = "Apply a change to see its effect."
            if self._measured is not None:
                done, all_ = self._measured
                sentence = f"Measuring the same steps again: {done} of {all_} …"
            return [[(f" {part}", palette.muted)] for part in wrapped(sentence, size.width - 2)]
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
        figures = [figure for figure in OUTCOME_FIGURES if figure.key != "kl_sum" or outcome.whole.own is not None]
        before, after = flowing(str(outcome.before or "made elsewhere")), flowing(str(outcome.after))
        if size.height >= len(figures) + 4:
            lines = [
                [(f" {fit_middle(before, size.width - 2)}", palette.muted)],
                [(f" → {fit_middle(after, size.width - 4)}", palette.pruned)],
                *lines,
            ]
        else:
            half = max(3, (size.width - 5) // 2)
            old, new = (fit(one, half).rstrip() for one in _from_where_they_differ(before, after, half))
            lines = [[(f" {old}", palette.muted), (f" → {new}", palette.pruned)], *lines]
        for figure in figures:
            name = f"{figure.short} {TOKENS if figure.unit == 'tokens' else figure.better}"
            line: Pieces = [(f" {name:<{NAME_WIDTH}}", palette.muted)]
            for stretch in stretches:
                line += self._pair(figure, stretch, pair)
            lines.append(line)
        if len(lines) > size.height:
            lines[max(0, size.height - 1) :] = [[(self.with_keys(f" … {key_of('zoom')} shows all"), palette.muted)]]
        return lines

    def _pair(self, figure: SummaryFigure, stretch: Stretch, width: int) -> Pieces:
        """Before, an arrow, after. A figure that changed is bright."""
        old, new = figure.of(stretch.before), figure.of(stretch.after)
        if figure.key == "kl_sum" and stretch.own is not None:
            old, new = stretch.own
        arrow = " → " if width >= ROOMY_PAIR else "→"
        half = (width - len(arrow)) // 2
        return [
            (figure.text(old).rjust(half), self.palette.text),
            (arrow, self.palette.muted),
            (
                figure.text(new).ljust(width - len(arrow) - half),
                self.palette.strong if old != new else self.palette.muted,
            ),
        ]


def _from_where_they_differ(before: str, after: str, width: int) -> tuple[str, str]:
    """Both settings, without most of the beginning that they have in common if one is too long."""
    if max(map(cell_len, (before, after))) <= width:
        return before, after
    alike = next(
        (at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), min(len(before), len(after))
    )
    start = alike - width // 2
    return (before, after) if start <= 0 else (f"…{before[start:]}", f"…{after[start:]}")


def _steps(outcome: Outcome) -> str:
    """How many steps are compared, and of how many."""
    left_out = f" of {outcome.of}" if outcome.of > outcome.whole.steps else ""
    return f"the same {outcome.whole.steps}{left_out} steps of both"
