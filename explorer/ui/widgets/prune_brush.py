"""The brush of the prune screen: its method, its amount on a slider, the selection, and the planned setting."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual import events
from textual.geometry import Size
from textual.message import Message

from explorer.state.prune_plan import Treatment
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.words.bound_keys import key_of
from explorer.words.token_text import wrapped
from probes.schema.prune_setting import Amount, Method, Pattern, Ratio

METHODS = tuple(method for method in Method if method.unstructured or method.structured)
PATTERNS: tuple[Amount, ...] = (Pattern(2, 4), Pattern(4, 8), Pattern(1, 4))
AMOUNT_STEP = 0.05
TIGHT = 7
"""A brush of at most this many lines leaves none empty."""
SLIDER = 20
"""Cells of the slider, and steps from 0 to 1."""


class PruneBrush(LineWidget):
    """Shows the treatment that painting gives; the slider can be clicked."""

    class Slid(Message):
        """The slider was moved."""

        def __init__(self, ratio: float) -> None:
            super().__init__()
            self.ratio = ratio

    def __init__(self) -> None:
        super().__init__(id="brush", classes="panel")
        self.method = Method.WANDA
        self.amount: Amount = Ratio(0.5)
        self._where = self._setting = ""
        self._changed = False

    @property
    def treatment(self) -> Treatment:
        return Treatment(self.method, self.amount)

    def show(self, where: str, setting: str, changed: bool) -> None:
        self._where, self._setting, self._changed = where, setting, changed
        self.entitle(Text("change"), Text(f"{key_of('apply')} applies" if changed else "nothing changed"))
        self.redraw()

    def slide(self, ratio: float) -> None:
        self.amount = Ratio(round(min(1.0, max(AMOUNT_STEP, ratio)), 4))

    def nudge(self, up: bool) -> None:
        ratio = self.amount.value if isinstance(self.amount, Ratio) else 0.5
        self.slide(ratio + (AMOUNT_STEP if up else -AMOUNT_STEP))

    def next_method(self) -> None:
        self.method = METHODS[(METHODS.index(self.method) + 1) % len(METHODS)]
        if self.method.structured and not isinstance(self.amount, Ratio):
            self.amount = Ratio(0.5)

    def next_pattern(self) -> None:
        """Takes the next N:M pattern, or a ratio after the last one; whole neurons and heads take ratios only."""
        choices = (*(() if self.method.structured else PATTERNS), Ratio(0.5))
        place = choices.index(self.amount) if self.amount in choices else len(choices) - 1
        self.amount = choices[(place + 1) % len(choices)]

    def draw(self, size: Size) -> Iterable[Pieces]:
        palette = self.palette
        width = max(20, size.width - 1)
        lines: list[Pieces] = [
            [(" method  ", palette.muted), (self.method.value, palette.strong), (f"   {self._about()}", palette.muted)],
            [(" amount  ", palette.muted), *self._slider()],
            [(" where   ", palette.muted), (self._where, palette.text)],
            *([[]] if size.height > TIGHT else []),
        ]
        words = wrapped(self._setting or "nothing: the model stays dense", width - 1)
        style = palette.pruned if self._changed else palette.text
        lines += [[(f" {line}", style)] for line in words]
        return lines

    def _about(self) -> str:
        if self.method.structured:
            return f"whole {self.method}, of {self.method.thinned_kind} cells"
        if self.method is Method.MAGNITUDE_GLOBAL:
            return "ranked over each part below"
        return self.with_keys(f"{key_of('method')} next")

    def _slider(self) -> Pieces:
        palette = self.palette
        if not isinstance(self.amount, Ratio):
            return [
                (f"{self.amount}", palette.strong),
                (self.with_keys(f"   {key_of('pattern')} next pattern"), palette.muted),
            ]
        full = round(self.amount.value * SLIDER)
        return [
            ("━" * full, palette.pruned),
            ("●", palette.strong),
            ("╌" * (SLIDER - full), palette.faint),
            (f" {self.amount.value:g}", palette.strong),
        ]

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self)
        start = len(" amount  ")
        if inside is not None and inside.y == 1 and start <= inside.x <= start + SLIDER:
            self.post_message(self.Slid((inside.x - start) / SLIDER))
