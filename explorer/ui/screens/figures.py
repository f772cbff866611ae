"""The list of all figures with their definitions, filtered by typing. One of them may be chosen."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text
from textual import on
from textual.widget import Widget
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from explorer.ui.commands import Command
from explorer.ui.screens.dialog import CLOSE, Dialog
from explorer.ui.widgets.marked_options import MarkedOptions
from explorer.words.definitions import DEFINITIONS, Definition
from explorer.words.result_definitions import RESULT_DEFINITIONS
from explorer.words.token_text import fit

_NAME, _KEY = 26, 26


class FigureList(Dialog[str]):
    """Shows definitions, and gives the key of the figure that is chosen with ⏎."""

    title_text = "Figures"
    COMMAND_TABLE = (
        Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Shows another figure.", label="another"),
        Command({"enter": ""}, "⏎", "Chooses the figure.", label="chooses"),
        CLOSE,
    )

    def __init__(self, first: Sequence[str] = (), only: Sequence[str] = ()) -> None:
        """`first` are the keys at the top of the list; if `only` is given, no others are in it."""
        super().__init__()
        known = DEFINITIONS | RESULT_DEFINITIONS
        keys = only or tuple(known)
        order = [*(key for key in first if key in keys), *(key for key in keys if key not in first)]
        self._known = [known[key] for key in order if key in known]
        self._listed = self._known

    def body(self) -> Iterator[Widget]:
        yield Input(placeholder="type to find a figure: kl, angle, survival …", id="filter")
        yield MarkedOptions(*self._options(), markup=False, id="figure-list")
        yield Static("", id="definition", markup=False)

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False  # letters go into the field
        self._describe()

    def _options(self) -> list[Option]:
        return [Option(f"{fit(one.name, _NAME)} {one.key}", id=one.key) for one in self._listed]

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        typed = event.value
        found = [one for one in self._known if one.matches(typed)]
        self._listed = sorted(found, key=lambda one: one.rank(typed)) if typed.strip() else found
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options(self._options())
        options.highlighted = 0 if self._listed else None
        self._describe()

    def action_row(self, rows: int) -> None:
        options = self.query_one(OptionList)
        if self._listed:
            at = options.highlighted or 0
            options.highlighted = max(0, min(at + rows, len(self._listed) - 1))

    @property
    def shown(self) -> Definition | None:
        """The figure whose definition is shown."""
        at = self.query_one(OptionList).highlighted or 0
        return self._listed[at] if at < len(self._listed) else None

    @on(OptionList.OptionHighlighted)
    def _describe(self) -> None:
        one = self.shown
        self.query_one("#definition", Static).update(
            "No figure has these words." if one is None else definition_text(one)
        )

    @on(Input.Submitted)
    def submit(self) -> None:
        if self.shown is not None:
            self.dismiss(self.shown.key)

    @on(OptionList.OptionSelected)
    def choose(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(event.option_id)


def definition_text(one: Definition) -> Text:
    """A definition in a few lines: the sentence, the formula, range and unit, the source."""
    better = {"↑": "higher is closer to the dense model", "↓": "lower is closer to the dense model"}
    direction = better.get(one.better.value, "neither direction is better")
    ranged = f"range, and what no change gives: {one.range}; " if one.range else ""
    return Text.assemble(
        f"{one.sentence}\n",
        (f"{one.name} = {one.formula}\n", "bold"),
        f"{ranged}unit: {one.unit}; {direction}\n",
        (one.source, "dim"),
    )
