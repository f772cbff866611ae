"""The output of `phier prompt`: the rendered text as it is, then a row for each token."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.text import Text

from explorer.cli.live_table import printable
from explorer.words.rendered import count_sentence
from probes.schema.rendered import RenderedPrompt, RenderedToken


def rendered_object(found: RenderedPrompt) -> dict[str, object]:
    """The same as JSON: `text`, `tokens` (each with `token_id`, `token`, `kind`), `scored`, `notes`, `warnings`."""
    return asdict(found)


def print_rendered(found: RenderedPrompt, console: Console) -> None:
    """Prints the text with its line breaks, the number of tokens, and the tokens."""
    for line in found.text.split("\n"):
        _line(console, printable(line, quotes=False))
    _line(console, f"\n{count_sentence(found)}", "bold")
    _tokens(console, found.tokens, 1)
    if found.scored:
        _line(console, "\nThe text that is scored:", "bold")
        _tokens(console, found.scored, len(found.tokens) + 1)


def _tokens(console: Console, tokens: Sequence[RenderedToken], first: int) -> None:
    for place, token in enumerate(tokens, first):
        style = "bold" if token.kind else ""
        _line(console, f"{place:6,} {token.token_id:8}  {printable(token.token):<20} {token.kind}".rstrip(), style)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True)
