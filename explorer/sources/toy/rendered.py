"""The prompt of toy models as tokens: words, signs, and the marks between turns."""

from __future__ import annotations

import re
import zlib

from probes.schema.errors import BadInput
from probes.schema.rendered import RenderedPrompt, RenderedToken
from probes.schema.settings import Follow, RunSettings

_TOKEN = re.compile(r"<\|\w+\|>|\n| ?[^\W_]+|\s|.", re.DOTALL)
_WORDS = 49_152


def toy_prompt_text(settings: RunSettings) -> str:
    """The turns as a chat template of the demo model's kind writes them."""
    if settings.raw or not settings.prompt:
        return settings.prompt
    asked = [turn for turn in settings.conversation.messages if turn.content]
    said = asked[:-1] if settings.begun else asked
    turns = [f"<|im_start|>{turn.role}\n{turn.content}<|im_end|>\n" for turn in said]
    return "".join([*turns, "<|im_start|>assistant\n", settings.begun])


def toy_rendered(settings: RunSettings) -> RenderedPrompt:
    """The tokens of that text. Raises `BadInput` for a role that the toy template does not know."""
    for turn in settings.turns:
        if turn.role not in ("system", "user", "assistant"):
            raise BadInput("Chat template", f"The model's chat template knows no role {turn.role!r}.", "Leave it out.")
    text = toy_prompt_text(settings)
    names = ", ".join(arg.name for arg in settings.template_args)
    warnings = (f"The template argument {names} has no effect: the chat template does not read it.",) if names else ()
    scored = _tokens(settings.text) if settings.follow is Follow.TEXT else ()
    return RenderedPrompt(text, _tokens(text), scored, (), warnings)


def _tokens(text: str) -> tuple[RenderedToken, ...]:
    return tuple(
        RenderedToken(zlib.crc32(piece.encode()) % _WORDS, piece, "special" if piece.startswith("<|") else "")
        for piece in _TOKEN.findall(text)
    )
