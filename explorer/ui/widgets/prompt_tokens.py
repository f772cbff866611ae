"""A prompt as the models read it: its text with the special tokens marked, and its tokens one by one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from rich.cells import cell_len, split_graphemes
from rich.style import Style
from rich.text import Text
from textual.geometry import Size

from explorer.state.heat import scrolled_top
from explorer.ui.widgets.line_widget import LineWidget, Pieces
from explorer.ui.widgets.row_list import RowList
from explorer.words.rendered import count_sentence
from explorer.words.token_text import fit, fit_quoted, flowing, wrapped
from probes.schema.rendered import RenderedPrompt, RenderedToken

_WORD = re.compile(r"\n|[^\S\n]*\S+|[^\S\n]+")
_MARKED = Style(bold=True, underline=True)
"""A token that no one typed: special, or added to the vocabulary."""


class TokenRows(RowList):
    """A row a token: its place, its id, its text, and whether it is special."""

    def __init__(self) -> None:
        super().__init__(id="prompt-tokens")
        self._tokens: tuple[RenderedToken, ...] = ()
        self._prompt = 0
        self.entitle(Text("tokens"), Text(""))

    @property
    def rows(self) -> Sequence[RenderedToken]:
        return self._tokens

    def show(self, found: RenderedPrompt | None, why_empty: str) -> None:
        """Shows the tokens, or the sentence that says why there are none."""
        tokens = (*found.tokens, *found.scored) if found is not None else ()
        if (tokens, why_empty) == (self._tokens, self.why_empty):
            return
        self._tokens, self.why_empty = tokens, why_empty
        self._prompt = len(found.tokens) if found is not None else 0
        self.entitle(Text(count_sentence(found) if found is not None else "tokens"), Text(""))
        self.redraw()

    def head(self, width: int) -> Sequence[Pieces]:  # noqa: ARG002 - as the base asks
        return [[(f" {'place':>6} {'id':>7}  token", self.palette.muted)]]

    def line(self, place: int, width: int) -> Pieces:
        one = self._tokens[place]
        kind = one.kind or ("scored" if place >= self._prompt else "")
        style = self.palette.strong if one.kind else self.palette.text
        rest = max(4, width - 16 - len(kind) - 2)
        return [
            (f" {place + 1:>6,} {one.token_id:>7}  ", self.palette.muted),
            (fit_quoted(one.token, rest) if one.token else fit("not recorded", rest), style),
            (f" {kind} " if kind else "", self.palette.muted),
        ]


class RenderedText(LineWidget, can_focus=True):
    """The text of all tokens with its line breaks; special tokens are bold and underlined."""

    ALLOW_SELECT = True

    def __init__(self) -> None:
        super().__init__(id="prompt-text", classes="panel")
        self._found: RenderedPrompt | None = None
        self._why_empty = ""
        self._at = 0
        self._top = 0
        self._wrapped: tuple[int, list[list[tuple[int, str]]]] | None = None
        self.entitle(Text("what the models read"), Text(""))

    def show(self, found: RenderedPrompt | None, at: int, why_empty: str) -> None:
        """Shows the prompt with the token at this place under the cursor."""
        if found is not self._found:
            self._wrapped = None
        self._found, self._at, self._why_empty = found, at, why_empty
        self.redraw()

    def copy_text(self) -> str:
        return self._found.text if self._found is not None else ""

    def draw(self, size: Size) -> Iterable[Pieces]:
        width, height = size
        if self._found is None:
            return [[(f" {line}", self.palette.muted)] for line in wrapped(self._why_empty, width - 2)]
        warned = [line for one in self._found.warnings for line in wrapped(self.with_keys(one), width - 2)]
        said: list[Pieces] = [[(f" {line}", self.palette.split)] for line in warned[: height // 2]]
        lines, tokens = self._broken(width - 2), self._drawn_tokens
        cursor = next((row for row, line in enumerate(lines) if any(at == self._at for at, _ in line)), 0)
        room = max(1, height - len(said))
        self._top = scrolled_top(self._top, cursor, len(lines), room)
        shown = lines[self._top : self._top + room]
        said.extend([(" ", None), *((text, self._style(at, tokens[at])) for at, text in line)] for line in shown)
        return said

    def _style(self, at: int, token: RenderedToken) -> Style:
        if self._is_whole:
            return self.palette.text
        if at == self._at:
            return self.palette.cursor
        if token.kind:
            return self.palette.strong + _MARKED
        return self.palette.text if self._found and at < len(self._found.tokens) else self.palette.shared

    @property
    def _is_whole(self) -> bool:
        """Is only the whole text known, and not that of each token?"""
        found = self._found
        return found is not None and not any(token.token for token in (*found.tokens, *found.scored))

    @property
    def _drawn_tokens(self) -> tuple[RenderedToken, ...]:
        assert self._found is not None
        if self._is_whole:
            return tuple(RenderedToken(0, word) for word in _WORD.findall(self._found.text))
        return (*self._found.tokens, *self._found.scored)

    def _broken(self, width: int) -> list[list[tuple[int, str]]]:
        """The lines, each as places of tokens with their text."""
        if self._wrapped is None or self._wrapped[0] != width:
            self._wrapped = (width, list(_wrapped_tokens(self._drawn_tokens, max(2, width))))
        return self._wrapped[1]


def _wrapped_tokens(tokens: Sequence[RenderedToken], width: int) -> Iterator[list[tuple[int, str]]]:
    """Lines of at most `width` cells. A token goes to the next line whole, unless it is longer than a line or holds a
    line break, which is shown as a mark."""
    line: list[tuple[int, str]] = []
    used = 0
    for at, token in enumerate(tokens):
        for part in token.token.splitlines(keepends=True) or [""]:
            shown = flowing(part)
            size = cell_len(shown)
            if used + size > width and used:
                yield line
                line, used = [], 0
            if size > width:
                for start, end, cells in split_graphemes(shown)[0]:
                    if used + cells > width:
                        yield line
                        line, used = [], 0
                    line.append((at, shown[start:end]))
                    used += cells
            else:
                line.append((at, shown))
                used += size
            if part.endswith("\n"):
                yield line
                line, used = [], 0
    if line:
        yield line
