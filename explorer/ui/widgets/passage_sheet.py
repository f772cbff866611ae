"""One passage: its context and its text, and what its figures say."""

from __future__ import annotations

from collections.abc import Iterable

from rich.text import Text
from textual.geometry import Size

from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.passage_table import source_of
from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.token_text import flowing, wrapped
from probes.schema.counting import number_of
from probes.schema.passages import Passage


class PassageSheet(LineWidget, can_focus=True):
    """Shows the chosen passage."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="passage", classes="panel")
        self._passage: Passage | None = None
        self._note = ""

    def show(self, passage: Passage | None, note: str) -> None:
        """`note` says how the passage is opened, or why it can't be."""
        if (passage, note) != (self._passage, self._note):
            self._passage, self._note = passage, note
            self.entitle(Text(source_of(passage) if passage is not None else "the passage"), Text(note))
            self.redraw()

    def draw(self, size: Size) -> Iterable[Pieces]:
        row, palette = self._passage, self.palette
        if row is None:
            return []
        lines: list[Pieces] = [
            [(f" {line}", palette.strong)] for line in wrapped(passage_sentence(row), size.width - 2)
        ]
        if row.item:
            lines += [[(f" {line}", palette.odd)] for line in wrapped(self.with_keys(as_text()), size.width - 2)]
        room = max(1, size.height - len(lines))
        text = wrapped(flowing(" ".join(marked_text(row).split())), size.width - 2)
        before = wrapped(flowing(" ".join(row.context.split())), size.width - 2) if row.context else []
        before = before[-max(0, room - len(text)) :] if room > len(text) else []
        lines += [[(f" {line}", palette.muted)] for line in before]
        lines += [[(f" {line}", palette.text)] for line in text]
        return lines


def as_text() -> str:
    """What the search reads of a set of items, and where its answers are."""
    return (
        "The search reads an item as bare text, without examples before it, and generates no answer; a split may be in "
        f"the question itself. To compare the answers: {key_of('verdict')} on the main screen."
    )


def marked_text(row: Passage) -> str:
    """The text, with its token of the largest KL in brackets."""
    start, end = row.worst
    return f"{row.text[:start]}[{row.text[start:end]}]{row.text[end:]}" if start < end else row.text


def passage_sentence(row: Passage) -> str:
    """A passage's figures in words."""
    split = (
        f"the top tokens differ first at step {row.first_split}" if row.first_split else "the top tokens never differ"
    )
    moves = "no token that the dense model ranks first falls"
    if row.rank_change > 0:
        moves = f"a token that the dense model ranks first falls to rank {numbers.rank(row.rank_change + 1)}"
    return (
        f"Over {number_of(row.steps, 'token')} the KL is {numbers.significant(row.mean_kl)} nat on average and "
        f"{numbers.significant(row.max_kl)} at step {row.max_kl_at}; {split}; {moves}; the text's own tokens "
        f"{'lose' if row.dp < 0 else 'gain'} {numbers.significant(abs(row.dp), 2)} of probability."
    )
