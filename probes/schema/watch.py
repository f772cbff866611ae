"""The tokens that a run follows: groups of tokens with a label each, and how they are written.

A group is the options of a question, a label word, or any token whose probability matters; its forms are separate
tokens, such as "A" and " A", whose probabilities are added.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from probes.schema.bounds import Natural, TokenString
from probes.schema.errors import BadInput

WATCH_GRAMMAR = """A, " A" | B, " B" | yes=Yes, "\\n", #198"""
"""An example for help texts: groups are divided by `|`, their tokens by commas. A text in double quotes is written as
in JSON and may hold anything; outside them, outer spaces do not count. `#198` is a token's id. A label before `=` names
the group; otherwise its first token does."""
MOST_WATCHED, MOST_FORMS = 64, 32
"""Groups of a run, and tokens of a group."""

WatchedForm = Natural | TokenString
"""A token's id, or its text as the next-token table shows it."""


@dataclass(frozen=True, slots=True)
class WatchedGroup:
    """Tokens that are followed as one: their probabilities are added."""

    label: TokenString
    forms: Annotated[tuple[WatchedForm, ...], Meta(max_length=MOST_FORMS)]

    def __str__(self) -> str:
        forms = ", ".join(_written_form(form) for form in self.forms)
        named = _label_of(self.forms[0]) == self.label if self.forms else False
        return forms if named else f"{_written(self.label)}={forms}"


@dataclass(frozen=True, slots=True)
class WatchedIds:
    """A watched group as the models have it: the ids of its tokens."""

    label: str
    ids: tuple[int, ...]


def parse_watch(text: str) -> tuple[WatchedGroup, ...]:
    """Reads groups as `WATCH_GRAMMAR` writes them; an empty text has none. Raises `BadInput` if it can't be read."""
    if not text.strip():
        return ()
    groups = tuple(_group(parts) for parts in _split(list(_pieces(text)), "|"))
    check_watched(groups)
    return groups


def write_watch(groups: Sequence[WatchedGroup]) -> str:
    """The text that `parse_watch` reads as these groups."""
    return " | ".join(map(str, groups))


def check_watched(groups: Sequence[WatchedGroup]) -> None:
    """Raises `BadInput` for groups that can't be followed together: too many, two with one label, none of a token."""
    if len(groups) > MOST_WATCHED:
        raise _fault(f"{len(groups)} groups are too many.", f"Watch at most {MOST_WATCHED}.")
    labels: set[str] = set()
    forms: set[WatchedForm] = set()
    for group in groups:
        if not group.label:
            raise _fault("A group has an empty label.", "Name it, or leave out the =.")
        if not group.forms or "" in group.forms:
            raise _fault(f"The group {_written(group.label)} has an empty token.", "Name a token, or leave it out.")
        if len(group.forms) > MOST_FORMS:
            raise _fault(f"The group {_written(group.label)} has more than {MOST_FORMS} tokens.", "Leave some out.")
        if group.label in labels:
            raise _fault(f"Two groups are called {_written(group.label)}.", "Give one another label: label=token.")
        twice = next((form for form in group.forms if form in forms or group.forms.count(form) > 1), None)
        if twice is not None:
            raise _fault(f"The token {_written_form(twice)} is named twice.", "Name each token once.")
        labels.add(group.label)
        forms.update(group.forms)


def _fault(message: str, hint: str = "") -> BadInput:
    return BadInput("Watched tokens", message, hint or f"Write them like {WATCH_GRAMMAR}.")


@dataclass(frozen=True, slots=True)
class _Piece:
    """A sign, or a text that was quoted or not."""

    text: str
    quoted: bool = False

    @property
    def form(self) -> WatchedForm:
        if not self.quoted and _ID.fullmatch(self.text):
            return int(self.text[1:])
        return self.text


_ID = re.compile(r"#\d{1,15}")
_SIGNS = "|,="
_PIECE = re.compile(r'\s*(?:(?P<sign>[|,=])|(?P<quoted>"(?:[^"\\]|\\.)*")|(?P<bare>[^|,="]+))\s*', re.DOTALL)


def _pieces(text: str) -> list[_Piece]:
    found, place = [], 0
    while place < len(text):
        match = _PIECE.match(text, place)
        if match is None:
            raise _fault(f"{text!r} has a quotation mark without its other one.")
        place = match.end()
        if match["quoted"] is not None:
            try:
                found.append(_Piece(msgspec.json.decode(match["quoted"], type=str), quoted=True))
            except (msgspec.DecodeError, UnicodeEncodeError) as problem:
                raise _fault(f"{match['quoted']} is not a text as JSON writes it.") from problem
        else:
            found.append(_Piece((match["sign"] or match["bare"]).strip()))
    return found


def _split(pieces: Sequence[_Piece], sign: str) -> list[list[_Piece]]:
    parts: list[list[_Piece]] = [[]]
    for piece in pieces:
        if piece == _Piece(sign):
            parts.append([])
        else:
            parts[-1].append(piece)
    return parts


def _group(pieces: list[_Piece]) -> WatchedGroup:
    named = _split(pieces, "=")
    if len(named) > 2:
        raise _fault("A group has more than one = sign.", 'Put a token with that sign in quotes: "=".')
    forms = tuple(_one(part).form for part in _split(named[-1], ","))
    label = _one(named[0]).text if len(named) == 2 else _label_of(forms[0])
    return WatchedGroup(label, forms)


def _one(pieces: Sequence[_Piece]) -> _Piece:
    """The only text between two signs."""
    if not pieces or not pieces[0].text:
        raise _fault("A token or a label is empty.")
    if len(pieces) > 1:
        raise _fault(f"There is no comma between {pieces[0].text!r} and {pieces[1].text!r}.")
    return pieces[0]


def _label_of(form: WatchedForm) -> str:
    """The label of a group that has none of its own."""
    return f"#{form}" if isinstance(form, int) else form


def _written_form(form: WatchedForm) -> str:
    return f"#{form}" if isinstance(form, int) else _written(form)


def _written(text: str) -> str:
    """The text as it is, in quotes if it would be read as something else."""
    plain = text == text.strip() and text.isprintable() and not any(sign in text for sign in f'{_SIGNS}"')
    if plain and text and not _ID.fullmatch(text):
        return text
    return msgspec.json.encode(text.encode("utf-8", "replace").decode()).decode()
