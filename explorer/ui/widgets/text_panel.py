"""One model's text: tokens coloured by their KL, with the split and the cursor. A click moves the cursor to a token."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from rich.style import Style
from rich.text import Text
from textual import events
from textual.geometry import Size

from explorer.state.view import View
from explorer.ui.messages import StepPointed
from explorer.ui.theme import Palette
from explorer.ui.widgets.line_widget import REVERSED, LineWidget, Piece, Pieces, joined
from explorer.ui.widgets.word_wrap import Word, WordWrap
from explorer.words.kl_levels import KL_BOUNDS
from explorer.words.model_texts import APART, FORCED, SPLIT, WrittenToken, text_title, written_token
from explorer.words.token_text import quoted

PROMPT_WORDS = re.compile(r"\s*\n|[^\S\n]*\S+|[^\S\n]+")
"""The prompt in pieces that a line may break between."""


class TextPanel(LineWidget, can_focus=True):
    """The dense or the pruned model's text. The path is laid out once, and new steps are added at the end."""

    ALLOW_SELECT = True

    def __init__(self, side: str, *, id: str | None = None) -> None:  # noqa: A002 - Textual's name
        super().__init__(id=id, classes="panel text")
        self.side = side
        """"dense" or "pruned"."""
        self._flow = WordWrap(1)
        self._tokens: list[WrittenToken] = []
        self._state: tuple[int, int, int, int] = (-1, -1, -1, -1)
        self._view: View | None = None
        self._framed: tuple[int, int, int | None] | None = None
        """Run, path and split, which the frame's words are about."""
        self._top = 0
        self._cursor = 0
        self._found: tuple[object, int] = (None, 0)
        """The search, and how many steps it has found."""
        self._hits: frozenset[int] = frozenset()
        self._kept: dict[int, tuple[int, Pieces]] = {}
        """The visible lines without the cursor, as drawn, each with its number of words: only the last line of a text
        grows."""

    def show(self, view: View) -> None:
        self._view = view
        state = (view.run, view.generation, view.newest, view.cursor)
        found = (view.search, len(view.hits))
        if state == self._state and found == self._found:
            return
        if found != self._found or view.search is not None:
            self._found, self._hits = found, frozenset(view.hits)
            self._kept.clear()
        if state[:2] != self._state[:2]:
            self._restart(view)
        elif view.newest > self._state[2]:
            self._grow(view)
        moved = state[3] != self._state[3]
        self._state = state
        self._cursor = view.cursor
        if self._framed != (view.run, view.generation, view.split):
            self.frame()
        if moved or view.following:
            self._reveal()
        self.redraw()

    def on_resize(self) -> None:
        if self._view is not None:
            if self.size.width not in (0, self._flow.width):  # 0 while another panel is zoomed
                self._restart(self._view)
            self._reveal()
            self.frame()
            self.redraw()

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._kept.clear()

    def copy_text(self) -> str:
        return "".join(token.text for token in self._tokens)

    def draw(self, size: Size) -> Iterable[Iterable[Piece]]:
        lines, before, self._kept = self._flow.lines, self._kept, {}
        for place in range(self._top, min(self._top + size.height, len(lines))):
            words = lines[place]
            if words and words[0].step <= self._cursor <= words[-1].step:
                yield self._pieces(words)
                continue
            kept = before.get(place)
            if kept is None or kept[0] != len(words):
                kept = len(words), self._pieces(words)
            self._kept[place] = kept
            yield kept[1]

    def _pieces(self, words: Sequence[Word]) -> Pieces:
        palette = self.palette
        return joined((word.text, self._style(word, palette)) for word in words)

    def _style(self, word: Word, palette: Palette) -> Style | None:
        if word.step == 0:
            return palette.muted
        if word.mark and word.text in (SPLIT, FORCED):
            return palette.split
        if word.mark and word.text == APART:
            return palette.faint
        if word.step == self._cursor:
            return palette.cursor
        token = self._tokens[word.step - 1]
        style = palette.quiet if token.quiet else palette.of_kl(token.kl)
        return style + REVERSED if word.step in self._hits else style

    # Laying out.

    def _restart(self, view: View) -> None:
        self._flow = WordWrap(self.size.width)
        self._kept.clear()
        self._tokens = []
        self._top = 0
        if view.header is not None:
            for word in PROMPT_WORDS.findall(view.header.settings.prompt):
                self._flow.add(0, word)
            self._flow.new_line()
        self._grow(view)

    def _grow(self, view: View) -> None:
        for record in view.path[len(self._tokens) :]:
            token = written_token(record, self.side, view.follow)
            self._tokens.append(token)
            if record.step == record.sum.first_split:
                self._flow.add(record.step, SPLIT, mark=True)
            if token.mark:
                self._flow.add(record.step, token.mark, mark=True)
            self._flow.add(record.step, token.text)
            if token.apart:
                self._flow.add(record.step, APART, mark=True)

    def frame(self) -> None:
        """Sets the frame's words: whose text it is, at which step the choices first differ, what the colours mean."""
        view = self._view
        if view is None:
            return
        self._framed = view.run, view.generation, view.split
        name = Text(text_title(self.side, view.follow))
        split = Text(split_of(view), self.palette.split) if self.side == "dense" else Text("")
        if self.styles.border_bottom[0]:
            self.entitle(name, split if self.side == "dense" else legend(self.palette))
        else:
            self.entitle(Text("   ").join([name, split] if split else [name]), Text(""))

    def _reveal(self) -> None:
        """Scrolls until the cursor's token is visible, or to the end of the text if the newest step is followed."""
        height = max(1, self.inside.height)
        last = len(self._flow.lines) - (0 if self._flow.lines[-1] else 1)
        if self._view is None or self._view.following:
            self._top = max(0, last - height)
            return
        line = self._flow.line_of(self._cursor)
        if not self._top <= line < self._top + height:
            self._top = max(0, min(line - height // 2, last - height))

    # The mouse.

    def on_click(self, event: events.Click) -> None:
        inside = event.get_content_offset(self) if self.text_selection is None else None
        if inside is None:
            return
        line = self._top + inside.y
        if line >= len(self._flow.lines):
            return
        used = 0
        for word in self._flow.lines[line]:
            used += word.width
            if inside.x < used:
                if word.step:
                    self.post_message(StepPointed(word.step))
                return

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        self._scroll(1)
        event.stop()

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        self._scroll(-1)
        event.stop()

    def _scroll(self, lines: int) -> None:
        self._top = max(0, min(self._top + lines, len(self._flow.lines) - 1))
        self.redraw()


def split_of(view: View) -> str:
    """The first step at which the choices differ, and both choices."""
    if view.split is None:
        return ""
    record = view.path[view.split - 1]
    if record.dense is None or record.pruned is None:
        return ""
    return f"┆ split at step {view.split}: {quoted(record.dense.token)} against {quoted(record.pruned.token)}"


def legend(palette: Palette) -> Text:
    """The ramp of colours from alike to unlike, with its ends in nats."""
    swatches = [("■", style) for style in palette.ramp]
    return Text.assemble((f"KL <{KL_BOUNDS[0]:g} ", palette.muted), *swatches, (f" >{KL_BOUNDS[-1]:g}", palette.muted))
