"""The help dialogs: a panel explained (F1), notes and warnings (!), every key (?)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.segment import Segment
from rich.table import Table
from rich.text import Text
from textual import on
from textual.containers import VerticalScroll
from textual.widget import Widget
from textual.widgets import Input, Static

from explorer.ui.commands import Command
from explorer.ui.filled_keys import with_keys
from explorer.ui.screens.dialog import CLOSE, Dialog
from explorer.ui.widgets.plain_text import PlainText
from explorer.words.explanations import Explanation
from explorer.words.shell_commands import commands_named
from probes.schema.header import RunHeader


class ExplanationDialog(Dialog[None]):
    """Explains a panel: what it shows, how to read it, its formula and its source."""

    def __init__(self, explanation: Explanation) -> None:
        super().__init__()
        self.title_text = explanation.title
        self._explanation = explanation

    def body(self) -> Iterator[Widget]:
        explanation = self._explanation
        with VerticalScroll():
            yield PlainText(with_keys(self, explanation.what))
            yield PlainText("")
            yield Static(Text.assemble(("How to read it  ", "bold"), with_keys(self, explanation.read)), markup=False)
            yield PlainText("")
            formula = with_keys(self, explanation.formula).replace(" " * 4, "\n")  # no line ends within a formula
            yield Static(Text(formula, style="bold"), markup=False)
            yield PlainText("")
            yield PlainText(with_keys(self, explanation.source), classes="hint")


class NotesDialog(Dialog[None]):
    """Lists what a reader of the figures must know: what was removed, the warnings, the notes."""

    title_text = "Notes and warnings"

    def __init__(self, header: RunHeader) -> None:
        super().__init__()
        self._header = header

    def body(self) -> Iterator[Widget]:
        header = self._header
        with VerticalScroll():
            if header.prune is not None:
                yield PlainText(f"{header.title}: {header.prune.summary}.")
            for warning in header.every_warning:
                yield Static(Text.assemble("\n", ("Warning  ", "bold"), warning), markup=False)
            for note in header.every_note:
                yield PlainText(f"\n{note}")
            if not header.every_warning and not header.every_note:
                yield PlainText("\nThere are no notes and no warnings.")


KeyHelp = tuple[str, str, bool, str]
"""A key, what it does, whether that is possible now, and the area it belongs to: "Run", "Find"."""
PURPOSES: tuple[tuple[str, frozenset[str]], ...] = (
    ("Run and prompt", frozenset({"Run", "Play", "Branch"})),
    ("Look at a step", frozenset({"Cursor", "Find", "Marks", "Steps", "Watch", "Span"})),
    ("Prune", frozenset({"Models", "Brush", "Plan"})),
    ("Explain and judge", frozenset({"Explain", "Verdict", "Passages"})),
    ("Recordings", frozenset({"Recordings"})),
    ("Panels, help, program", frozenset({"View", "Help", "Explorer"})),
)
"""The groups of the list by the areas in them; other areas, those of the screen itself, come first."""


class KeysDialog(Dialog[None]):
    """Lists every key with what it does, filtered by typing. Keys that do nothing now are dimmed."""

    title_text = "Keys"
    COMMAND_TABLE = (
        Command(
            {"up": "rows(-1)", "down": "rows(1)", "pageup": "rows(-10)", "pagedown": "rows(10)"},
            "↑ ↓",
            "Scrolls the list.",
            label="scrolls",
        ),
        CLOSE,
    )

    def __init__(self, keys: Sequence[KeyHelp]) -> None:
        super().__init__()
        self._keys = keys

    def body(self) -> Iterator[Widget]:
        self._keys = [(key, with_keys(self, does), possible, area) for key, does, possible, area in self._keys]
        yield Input(placeholder="type to find a key", id="filter")
        with VerticalScroll(can_focus=False):
            yield Static(self._table(""), id="keys-table", markup=False)

    @on(Input.Changed)
    def narrow(self, event: Input.Changed) -> None:
        self.query_one("#keys-table", Static).update(self._table(event.value))

    def action_rows(self, rows: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=rows, animate=False)

    def _table(self, typed: str) -> RenderedOnce | str:
        """The keys whose name is typed, or whose sentence has all the words; and the command of `phier` so named."""
        words = typed.lower().split()
        table = Table.grid(padding=(0, 2))
        found = [
            one for one in self._keys if typed.strip() in one[0].split() or all(w in one[1].lower() for w in words)
        ]
        for purpose, keys in grouped(found):
            if purpose and len(self._keys) > FEW:
                table.add_row("", Text(purpose, style="underline"))
            for key, does, possible, _ in keys:
                style = "" if possible else "dim"
                table.add_row(Text(key, style=f"bold {style}"), Text(does, style=style))
        for name in commands_named(typed):
            explains = f"A command in the shell: phier {name} --help explains it."
            table.add_row(Text(f"phier {name}", style="bold"), explains)
        return RenderedOnce(table) if table.row_count else "No key does that."


FEW = 24
"""A list of at most so many keys has no headings."""


def grouped(keys: Sequence[KeyHelp]) -> list[tuple[str, list[KeyHelp]]]:
    """The keys by their purpose, in the order of the purposes, with the screen's own before them."""
    known = frozenset().union(*(areas for _, areas in PURPOSES))
    own = [one for one in keys if one[3] not in known]
    groups = [(purpose, [one for one in keys if one[3] in areas]) for purpose, areas in PURPOSES]
    return [(purpose, members) for purpose, members in [("This screen", own), *groups] if members]


class RenderedOnce:
    """A table that is rendered once for each width: Textual asks several times for its height and its lines."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._rendered: dict[tuple[int, int | None], list[Segment]] = {}
        self._measured: dict[int, Measurement] = {}

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        size = options.max_width, options.height
        if size not in self._rendered:
            self._rendered[size] = list(console.render(self._table, options))
        return self._rendered[size]

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        width = options.max_width
        if width not in self._measured:
            self._measured[width] = Measurement.get(console, options, self._table)
        return self._measured[width]
