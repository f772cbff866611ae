"""What a screen offers to copy, and how one of these reaches the person: by the clipboard, or in a file."""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from explorer.ui.clipboard import LONGEST, Route, Way, route, to_tmux, write_copy
from explorer.ui.screens.dialog import ChoiceDialog, DialogChoice
from explorer.words.bound_keys import key_of
from probes.schema.errors import Failure
from probes.system.user_folders import shortened

if TYPE_CHECKING:
    from explorer.ui.app import ExplorerApp
    from explorer.ui.screens.page import Page

PANEL, FILE = "y", "f"


@dataclass(frozen=True, slots=True)
class Copyable:
    """Something of a screen that can be copied."""

    key: str
    """The letter that chooses it."""
    name: str
    """In the list: "the row"."""
    about: str
    """A sentence."""
    text: Callable[[], str]
    """Makes the text. "" if there is none now."""
    stem: str = "copy"
    """The name, without its ending, of the file that it is written into."""
    ending: str = "txt"
    in_file: bool = False
    """Is it always written into a file?"""
    why_not: str = "There is nothing to copy here now."
    """The sentence if there is no text."""


def ask_copy(page: Page) -> None:
    """Asks what to copy from a screen, and copies it."""
    offered = {one.key: one for one in page.copyables()}
    selected = page.get_selected_text()
    if selected:
        about = "What is selected with the mouse."
        offered[PANEL] = Copyable(PANEL, "the selection", about, lambda: selected, "selection")
    last = page.app.last_copy
    ways = [DialogChoice(one.key, one.name, one.about) for one in offered.values()]
    if last is not None:  # where it is seen: the list may be longer than the dialog
        again = "What was copied last, in case it did not arrive."
        ways.insert(1, DialogChoice(FILE, f"{last.name} again, into a file", again))
    elif PANEL in offered:
        about = f"The same as {PANEL}, written into a file."
        ways.insert(1, DialogChoice(FILE, f"{offered[PANEL].name}, into a file", about))

    def answered(key: str | None) -> None:
        again = last or offered.get(PANEL)
        if key == FILE and again is not None:
            page.app.call_after_refresh(copy, page.app, replace(again, in_file=True))
        elif key in offered:
            page.app.call_after_refresh(copy, page.app, offered[key])

    page.app.clear_notifications()
    page.app.push_screen(ChoiceDialog("Copy", "", ways, PANEL), answered)


async def copy(app: ExplorerApp, what: Copyable) -> None:
    """Copies it, and says where it is."""
    text = what.text()
    if not text:
        app.notify(what.why_not, title="Nothing copied")
        return
    app.last_copy = replace(what, text=lambda: text)
    app.keep_copy(text)
    try:
        title, sentence = await _deliver(app, what, text)
    except Failure as problem:
        app.notify(f"{problem.message} {problem.hint}".strip(), title=problem.title, severity="warning")
        return
    app.notify(sentence, title=title, timeout=6)


async def _deliver(app: ExplorerApp, what: Copyable, text: str) -> tuple[str, str]:
    """The title and the sentence of a notice on where the text is now."""
    name = what.name[0].upper() + what.name[1:]
    if app.is_web:
        app.deliver_text(io.StringIO(text), save_filename=f"{what.stem}.{what.ending}")
        return "Downloaded", f"{name}: your browser downloads it as {what.stem}.{what.ending}."
    if what.in_file:
        return "Written", f"{name}: written into {_written(what, text)}."
    size = len(text.encode())
    here = route(os.environ) if size <= LONGEST else Route(Way.NONE, f"{size:,} bytes are too many for a clipboard.")
    match here.way:
        case Way.NONE:
            return "Written", f"{here.doubt} {name}: written into {_written(what, text)}."
        case Way.TMUX:
            doubt = await asyncio.to_thread(to_tmux, text)
            return "Copied", f"{name}: put into tmux's buffer. {doubt or _SENT}"
    app.copy_to_clipboard(text)
    if here.doubt:
        return "Copied", f"{name}: sent to the terminal. {here.doubt} Also written into {_written(what, text)}."
    return "Copied", f"{name}: sent to the terminal's clipboard. {_SENT}"


_SENT = f"If it does not arrive, {key_of('copy')} {FILE} writes it into a file."
"""No terminal confirms it."""


def _written(what: Copyable, text: str) -> str:
    return shortened(write_copy(text, what.stem, what.ending))
