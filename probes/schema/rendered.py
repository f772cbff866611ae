"""A prompt as the models read it, token by token, as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

TokenKind = Literal["", "special", "added"]
"""An ordinary token; one that the tokenizer declares special, such as the end of a turn; one that was added to the
vocabulary besides, such as `<think>`."""


@dataclass(frozen=True, slots=True)
class RenderedToken:
    """One token of a prompt."""

    token_id: int
    token: str
    """Its text, with its leading space."""
    kind: TokenKind = ""


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """What the models read before the first step of a run."""

    text: str
    """The prompt after the chat template."""
    tokens: tuple[RenderedToken, ...]
    scored: tuple[RenderedToken, ...] = ()
    """The tokens of the text to score, which follow; empty if no text is followed."""
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def special(self) -> int:
        """How many of the prompt's tokens are special."""
        return sum(token.kind == "special" for token in self.tokens)
