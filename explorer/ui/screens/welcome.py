"""The first screen of a person who named nothing: what the program is for, and four ways to begin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from explorer.ui.commands import HELP, PALETTE, QUIT, THEME, Command
from explorer.ui.messages import Way, WayChosen
from explorer.ui.screens.page import Page, too_small
from explorer.ui.widgets.key_line import KeyLine
from explorer.ui.widgets.line_widget import Pieces
from explorer.ui.widgets.row_list import RowConfirmed, RowList, RowPointed
from explorer.words.token_text import fit, wrapped

ABOUT = (
    "A pruned language model still answers multiple choice, and fails at writing. Why? Pruning changes what each layer "
    "computes only a little. But the softmax amplifies it, and a text is written token by token, each on top of all "
    "before it.",
    "phier runs the dense model and the pruned one side by side, and shows at each token how far apart they are in the "
    "hidden state, the logits and the probabilities: where it breaks, which layer did it, and what to give back.",
)
OWN = "Your own models: phier-tui --dense MODEL --prune wanda:0.5, or --pruned OTHER in its place. More: --help"


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to begin, as it is offered."""

    way: Way
    name: str
    about: str


TOUR = Offer(Way.TOUR, "The tour", "six stops on the demo models, a sentence and a key each")
MODELS = Offer(Way.MODELS, "The demo models", "SmolLM2-135M and its copy under wanda:0.5 (90 MB, once)")
DEMO = Offer(Way.DEMO, "A recording", "how that pair falls apart, played without any model")
RECORDINGS = Offer(Way.RECORDINGS, "Your recordings", "open, play and compare earlier runs")


class WayList(RowList):
    """The ways, a row each."""

    BORDER_TITLE = "begin with"

    def __init__(self, offers: Sequence[Offer]) -> None:
        super().__init__(id="ways")
        self._offers = offers

    @property
    def rows(self) -> Sequence[Offer]:
        return self._offers

    def head(self, width: int) -> Sequence[Pieces]:  # noqa: ARG002 - every row says it itself
        return []

    def line(self, place: int, width: int) -> Pieces:
        offer = self._offers[place]
        return [
            ("  ", None),
            (f"{offer.name:<18}", self.palette.strong),
            (fit(offer.about, max(0, width - 21)).rstrip(), self.palette.muted),
        ]


WELCOME_COMMANDS: tuple[Command[Any], ...] = (
    Command(
        {"enter": "begin"}, "⏎", "Begins in the way under the cursor.", label="begin", name="Welcome: Begin", weight=90
    ),
    Command({"up": "row(-1)", "down": "row(1)"}, "↑ ↓", "Chooses a way to begin.", label="choose", weight=80),
    Command(
        {"o": "recordings"},
        "o",
        "Lists recordings to open or compare.",
        label="open",
        name="Recordings: Open",
        weight=60,
    ),
    replace(HELP, weight=50),
    replace(THEME, label="theme", weight=30),
    replace(QUIT, weight=40),
    PALETTE,
)


class Welcome(Page):
    """Explains the program, and offers ways to begin."""

    HOME = "#ways"
    AUTO_FOCUS = "#ways"
    COMMAND_TABLE = WELCOME_COMMANDS

    def __init__(self, *, has_models: bool) -> None:
        """`has_models` offers what needs models."""
        super().__init__()
        self._offers = (TOUR, MODELS, DEMO, RECORDINGS) if has_models else (DEMO, RECORDINGS)

    def compose(self) -> ComposeResult:
        yield Static(" phier", id="title", markup=False)
        with Vertical(id="body"):
            yield Static("", id="about", markup=False)
            yield WayList(self._offers)
            yield Static(OWN, id="own", markup=False)
        yield too_small()
        yield KeyLine()

    def show(self) -> None:
        width = max(20, min(100, self.size.width - 4))
        paragraphs = ("\n".join(wrapped(part, width)) for part in ABOUT)
        self.query_one("#about", Static).update(Text("\n\n".join(paragraphs)))
        self.query_one(WayList).redraw()
        self.query_one(KeyLine).show(self.key_hints())

    def action_row(self, rows: int) -> None:
        ways = self.query_one(WayList)
        ways.move_to(ways.row + rows)

    def action_begin(self) -> None:
        self.post_message(WayChosen(self._offers[self.query_one(WayList).row].way))

    def action_recordings(self) -> None:
        self.post_message(WayChosen(Way.RECORDINGS))

    @on(RowPointed)
    def point(self, message: RowPointed) -> None:
        message.stop()
        self.query_one(WayList).move_to(message.place)

    @on(RowConfirmed)
    def confirm(self, message: RowConfirmed) -> None:
        message.stop()
        self.query_one(WayList).move_to(message.place)
        self.action_begin()
