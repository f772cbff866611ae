"""The watched groups over the steps: a row for each with its figures at the cursor and a chart, and one for all."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.geometry import Size

from explorer.state.view import View
from explorer.ui.theme import Palette
from explorer.ui.widgets.braille import DASHED, DOTTED, Scale, linear_above_zero
from explorer.ui.widgets.chart import Chart, ChartLine, Picture
from explorer.ui.widgets.line_widget import LineWidget, Piece
from explorer.ui.widgets.space_panel import scale_of
from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.charts import ScaleKind
from explorer.words.figures import Scope
from explorer.words.token_text import fit
from explorer.words.watched import compared_at, forms_text, label_text, probability
from probes.schema.record import Comparison, GroupFigures
from probes.schema.watch import WatchedGroup

LEAST_ROW = 4
"""Lines of a row on a small screen; then the board scrolls."""
NOTHING = (
    f"No token is watched. {key_of('name')} names tokens to follow, such as the options of a question; on the main "
    "screen "
    f"{key_of('mark-token')} watches the token that is chosen in the table."
)


@dataclass(frozen=True, slots=True)
class WatchLook:
    """What is shown of the groups."""

    shares: bool = False
    """p̂ and q̂, which add up to 1 over the groups, instead of p and q."""

    @property
    def keys(self) -> tuple[str, str]:
        return ("share_dense", "share_pruned") if self.shares else ("p", "q")

    @property
    def title(self) -> str:
        return "shares p̂ and q̂ among the watched groups" if self.shares else "probabilities p and q"

    def of(self, group: GroupFigures) -> tuple[float, float]:
        """Both models' value."""
        return (group.share_dense, group.share_pruned) if self.shares else (group.p, group.q)


class WatchBoard(VerticalScroll, can_focus=True):
    """A row for each group, and one for all of them; it scrolls if they don't fit."""

    def __init__(self) -> None:
        super().__init__(id="board", classes="panel")
        self._groups: tuple[WatchedGroup, ...] | None = None

    def show(self, view: View, look: WatchLook) -> None:
        groups = view.watch
        if groups != self._groups:
            self._groups = groups
            self.call_later(self._rebuild, view, look)
            return
        self.border_title, self.border_subtitle = Text(look.title), Text(_legend(view) if groups else "")
        scale = group_scale(view, look)
        for row in self.query(WatchRow):
            row.show(view, look, scale)
        self._share_height()

    def on_resize(self) -> None:
        self._share_height()

    def _share_height(self) -> None:
        """Divides the height among the rows, but gives each as much as its figures need."""
        rows = list(self.query(WatchRow))
        for place, row in enumerate(rows):
            whole, more = divmod(self.size.height, len(rows))
            row.styles.height = max(LEAST_ROW, whole + (place < more))

    def copy_text(self) -> str:
        """The figures of all rows."""
        return "\n".join(figures.copy_text() for figures in self.query(WatchFigures))

    async def _rebuild(self, view: View, look: WatchLook) -> None:
        """Makes a row for each group of the run that is shown now."""
        groups = self._groups or ()
        await self.remove_children()
        places: list[int | None] = [*range(len(groups)), *([None] if len(groups) > 1 else [])]
        await self.mount(*(WatchRow(place, groups) for place in places))
        self.show(view, look)


class WatchRow(Horizontal):
    """One group, or all of them together: figures at the cursor on the left, a chart over the steps on the right."""

    def __init__(self, place: int | None, groups: tuple[WatchedGroup, ...]) -> None:
        super().__init__(classes="watch-row")
        self._place = place
        self._figures = WatchFigures(None if place is None else groups[place])
        self._chart = Chart()

    def compose(self) -> ComposeResult:
        yield self._figures
        yield self._chart

    def show(self, view: View, look: WatchLook, scale: Scale) -> None:
        self._figures.show(view, look, self._place)
        self._chart.show(together_chart(view) if self._place is None else group_chart(view, look, self._place, scale))


class WatchFigures(LineWidget):
    """The figures of a group at the cursor; without a group, those over all groups."""

    ALLOW_SELECT = True

    def __init__(self, group: WatchedGroup | None) -> None:
        super().__init__(classes="watch-figures")
        self._group = group
        self._shown: tuple[object, ...] = ()
        self._compared: Comparison | None = None
        self._at: GroupFigures | None = None
        self._look = WatchLook()

    def show(self, view: View, look: WatchLook, place: int | None) -> None:
        found = compared_at(view.record, view.own_contexts)
        watched = found.watched if found else None
        at = watched.groups[place] if watched and place is not None and place < len(watched.groups) else None
        if (found, at, look) != self._shown:
            self._shown = found, at, look
            self._compared, self._at, self._look = found, at, look
            self.redraw()

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        width = size.width
        if self._group is None:
            return together_lines(self.palette, self._compared)
        return group_lines(self.palette, self._group, self._at, self._look, width)


def group_lines(
    colours: Palette, group: WatchedGroup, at: GroupFigures | None, look: WatchLook, width: int
) -> list[list[Piece]]:
    """The label, and for each model its probability and the rank of its likeliest token."""
    label = label_text(group.label)
    forms = "" if group.forms == (group.label,) else f"  {forms_text(group)}"
    lines: list[list[Piece]] = [
        [(f" {label}", colours.strong), (fit(forms, max(0, width - cell_len(label) - 1)), colours.muted)]
    ]
    values = look.of(at) if at else (None, None)
    ranks = (at.rank_dense, at.rank_pruned) if at else (None, None)
    names = ("dense  p̂", "pruned q̂") if look.shares else ("dense  p", "pruned q")
    for name, value, rank, style in zip(names, values, ranks, (colours.dense, colours.pruned), strict=True):
        written = numbers.NONE if value is None else probability(value)
        place = "" if rank is None else f"rank {numbers.rank(rank)}"
        lines.append([(f" {name} ", style), (f"{written:>7}", colours.text), (f"  {place}", colours.muted)])
    return lines


def together_lines(colours: Palette, compared: Comparison | None) -> list[list[Piece]]:
    """The distributions over the groups beside those over the whole vocabulary."""
    watched = compared.watched if compared else None
    if compared is None or watched is None:
        return [[(" all groups", colours.strong)], [(f" {numbers.NONE}", colours.muted)]]
    masses = f"{probability(watched.mass_dense)} → {probability(watched.mass_pruned)}"
    kl = numbers.significant(watched.kl) if watched.kl is not None else numbers.NONE
    cos = numbers.cosine(watched.cos) if watched.cos is not None else numbers.NONE
    return [
        [(" all groups", colours.strong), (f"  mass {masses}", colours.text)],
        [(" over them  ", colours.shared), (f"KL {kl}  cos {cos}", colours.text)],
        [
            (" over all   ", colours.muted),
            (f"KL {numbers.significant(compared.p.kl)}  cos {numbers.cosine(compared.p.cos)}", colours.text),
        ],
    ]


def group_chart(view: View, look: WatchLook, place: int, scale: Scale) -> Picture:
    """A group over the steps: the dense model solid, the pruned one dashed, on its own text dotted."""
    columns = view.columns
    dense, pruned = (f"watched.{place}.{key}" for key in look.keys)
    lines = [
        ChartLine(columns.get(dense, Scope.SHARED), "dense"),
        ChartLine(columns.get(pruned, Scope.SHARED), "pruned", DASHED),
    ]
    if view.diverged:
        lines.append(ChartLine(columns.get(pruned, Scope.OWN), "muted", DOTTED))
    return Picture(tuple(lines), view.axis, scale, view.newest, view.cursor, view.split)


def together_chart(view: View) -> Picture:
    """The KL over the groups, and dotted that over the whole vocabulary."""
    columns = [view.columns.get(key, Scope.SHARED) for key in ("watched.kl", "p.kl")]
    lowest, highest = min(column.lowest for column in columns), max(column.highest for column in columns)
    return Picture(
        (ChartLine(columns[0], "shared"), ChartLine(columns[1], "muted", DOTTED)),
        view.axis,
        scale_of(ScaleKind.DIVERGENCE, lowest, highest, view.log_scale),
        view.newest,
        view.cursor,
        view.split,
    )


def group_scale(view: View, look: WatchLook) -> Scale:
    """One scale for all groups, so that their heights can be compared: from 0 to their largest value."""
    scopes = (Scope.SHARED, Scope.OWN) if view.diverged else (Scope.SHARED,)
    tops = [
        view.columns.get(f"watched.{place}.{key}", scope).highest
        for place in range(len(view.watch))
        for key in look.keys
        for scope in scopes
    ]
    return linear_above_zero(min(1.0, max(tops, default=0.0)))


def _legend(view: View) -> str:
    own = " · ┈ pruned, on its own text" if view.diverged else ""
    return f"— dense · ╌ pruned{own}"
