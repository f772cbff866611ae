"""The list of steps: each with its mark, both choices, the figure that it is sorted by, and the text before it."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from explorer.state.step_lists import StepKind, StepListLook, listed_steps
from explorer.state.view import View
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.row_list import RowList
from explorer.words import figures
from explorer.words.bound_keys import key_of
from explorer.words.figures import FIGURES, Scope, figure_name
from explorer.words.marks import EXPLAINED_SIGN, STEP_MARK
from explorer.words.model_texts import written_token
from explorer.words.token_text import fit, fit_end, fit_quoted, flowing
from probes.schema.counting import number_of
from probes.schema.record import StepRecord

_BESIDE = (("p.kl", "KL"), ("p.tv", "TV"), ("h.angle", "angle"))
"""The figures in every row; the one that the list is sorted by is not repeated."""
_CELLS = 9
_BEFORE = 24
"""Steps whose text is shown before a token."""
_WHY_EMPTY = {
    StepKind.WORST: "No step has this figure.",
    StepKind.MARKED: f"No step of this run is marked. {key_of('mark-step')} marks the step at the cursor.",
    StepKind.FOUND: (
        f"Nothing is found. {key_of('find')} on the screen before finds a text, kl>0.5, split, margin<0.1 …"
    ),
    StepKind.EXPLAINED: f"Of no step so far heal, damage or what to give back are known. {key_of('why')} on the screen "
    "before explains the step at the cursor.",
}


class StepTable(RowList):
    """A row a step."""

    def __init__(self) -> None:
        super().__init__(id="step-list")
        self._view: View | None = None
        self._look = StepListLook()
        self._state: object = None
        self._steps: Sequence[int] = ()

    def show(self, view: View, look: StepListLook) -> None:
        search = view.search if look.kind is StepKind.FOUND else None
        state = (look, view.run, view.generation, view.newest, view.marks.version, search, len(view.hits), view.found)
        if state == self._state:
            return
        chosen = self.chosen if state[1:3] == self._shown_path else None
        self._state, self._view, self._look, self.why_empty = state, view, look, _WHY_EMPTY[look.kind]
        self._shown_path = state[1:3]
        self._steps = listed_steps(view, look)
        if chosen in self._steps:
            self.row = self._steps.index(chosen)
        title = {
            StepKind.WORST: f"the worst steps by {figure_name(look.figure)}",
            StepKind.MARKED: "marked steps",
            StepKind.FOUND: f"steps found: {flowing(view.search.text)}" if view.search else "steps found",
            StepKind.EXPLAINED: f"steps ({EXPLAINED_SIGN}) whose heal and damage, or what to give back, are known",
        }[look.kind]
        self.entitle(Text(title), Text(number_of(len(self._steps), "step")))
        self.redraw()

    _shown_path: object = None

    @property
    def rows(self) -> Sequence[int]:
        return self._steps

    @property
    def chosen(self) -> int | None:
        """The step of the chosen row."""
        return self._steps[self.row] if self.row < len(self._steps) else None

    def choose(self, step: int) -> None:
        """Chooses the row of a step, if it is listed."""
        if step in self._steps:
            self.move_to(self._steps.index(step))

    def head(self, width: int) -> Sequence[Pieces]:
        token, text = _widths(width, len(self._columns))
        names = "".join(f"{fit(name, _CELLS - 1).strip():>{_CELLS}}" for _, name in self._columns)
        line = f"    step  {fit('dense', token)} {fit('pruned', token)}{names}  {fit('text before', text)}"
        return [[(fit(line, width), self.palette.muted)]]

    @property
    def _columns(self) -> list[tuple[str, str]]:
        """The figures of a row with their short names, the one that the list is sorted by first."""
        beside = [(key, name) for key, name in _BESIDE if key != self._look.figure]
        if self._look.kind is not StepKind.WORST:
            return list(_BESIDE)
        return [(self._look.figure, f"{FIGURES[self._look.figure].label}▾"), *beside]

    def line(self, place: int, width: int) -> Pieces:
        view, palette, step = self._view, self.palette, self._steps[place]
        assert view is not None
        record = view.path[step - 1]
        token, text = _widths(width, len(self._columns))
        kl = figures.value(record, "p.kl", Scope.SHARED)
        pieces: Pieces = [
            (EXPLAINED_SIGN if step in view.explained_at else " ", palette.dense),
            (STEP_MARK if view.is_marked(step) else " ", palette.split),
            (f"{step:>6}  ", palette.strong),
            (fit_quoted(record.dense.token, token) if record.dense else fit("–", token), palette.dense),
            (" ", None),
            (
                fit_quoted(record.pruned.token, token) if record.pruned else fit("–", token),
                palette.pruned if record.split else palette.quiet,
            ),
        ]
        for key, _ in self._columns:
            written = figures.text(record, key, Scope.SHARED)
            pieces.append((" " * max(1, _CELLS - len(written)), None))
            pieces.append((written, palette.of_kl(kl) if key == "p.kl" else palette.text))
        pieces += [("  ", None), (text_before(view, record, text), palette.muted)]
        return pieces

    def copy_text(self) -> str:
        """The whole list, tab-separated."""
        view = self._view
        if view is None:
            return ""
        keys = [key for key, _ in self._columns]
        lines = ["\t".join(["step", "marked", "dense", "pruned", *keys])]
        for step in self._steps:
            record = view.path[step - 1]
            values = [figures.value(record, key, Scope.SHARED) for key in keys]
            written = ["" if value is None else f"{value:.6g}" for value in values]
            tokens = [flowing(one.token) if one else "" for one in (record.dense, record.pruned)]
            lines.append("\t".join([str(step), "1" if view.is_marked(step) else "0", *tokens, *written]))
        return "\n".join(lines)


def text_before(view: View, record: StepRecord, width: int) -> str:
    """The end of the dense panel's text before a step, in exactly `width` cells."""
    side = "pruned" if view.follow == "pruned" else "dense"
    earlier = view.path[max(0, record.step - 1 - _BEFORE) : record.step - 1]
    return fit_end(flowing("".join(written_token(one, side, view.follow).text for one in earlier)), width)


def _widths(width: int, figures_shown: int) -> tuple[int, int]:
    """The cells of each of the two tokens, and of the text before them."""
    rest = max(0, width - 10 - 1 - figures_shown * _CELLS - 2 - 1)  # a free cell before the frame
    token = max(8, min(16, rest // 3))
    return token, max(0, rest - 2 * token)
