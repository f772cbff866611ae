"""Asks what to find in a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from textual.app import App

from explorer.state.step_search import StepSearch
from explorer.state.view import View
from explorer.ui.screens.find import AskFind, Findable
from probes.schema.counting import number_of

_EXAMPLES = (
    ("half", "a text of either panel, also one of several tokens"),
    ("kl>0.5", "one step's KL, on the shared text, is above 0.5 nat"),
    ("split", "the two choices differ"),
    ("margin<0.1", "the dense model was undecided: by less than 0.1 nat"),
    ("h.angle>20", "any figure of a step, by its name in the JSON"),
    ("kl>1 & split", "both at one step"),
    ("marked", "also diverge, forced, tied, invalid, eos"),
    ('"split"', "in quotation marks: the text, not the event"),
)


def ask_steps(app: App[Any], view: View, found: Callable[[], object]) -> None:
    """Asks for a query as `step_query` reads it, begins the search, and calls `found`."""

    def count(text: str) -> str:
        steps = StepSearch(text).steps(view.path, view.follow, None, view.is_marked)
        return f"{len(steps):,} of {number_of(view.newest, 'step')}"

    def answered(text: str | None) -> None:
        if text is not None:
            view.searched = (text, *(one for one in view.searched if one != text))[:8]
            view.search = StepSearch(text)
            found()

    about = "A text, or a condition on the figures of a step."
    findable = Findable("Find in this run", about, _EXAMPLES, view.searched, count)
    app.push_screen(AskFind(findable), answered)
