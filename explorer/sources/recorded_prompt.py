"""The prompt of a recorded run with its tokens, from what the recording holds."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.words.bound_keys import key_of
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord
from probes.schema.rendered import RenderedPrompt, RenderedToken, TokenKind

NO_TEXTS = (
    "This recording holds the prompt and the ids of its tokens, but not the text of each: it is of an earlier version. "
    f"The models know them ({key_of('models')})."
)
NO_TOKENS = "This recording holds the prompt, but not its tokens."


def recorded_rendering(header: RunHeader, path: Sequence[StepRecord]) -> RenderedPrompt:
    """What the models read before the first step. Tokens whose text was not recorded have none, which a warning says.

    Those of a text to score are known as far as the steps of the run go."""
    ids, pieces = header.prompt_ids, header.prompt_pieces
    known = len(pieces) == len(ids)
    kinds: dict[int, TokenKind] = dict.fromkeys(header.prompt_added, "added")
    kinds |= dict.fromkeys(header.prompt_special, "special")
    tokens = tuple(
        RenderedToken(token_id, pieces[place] if known else "", kinds.get(place, "") if known else "")
        for place, token_id in enumerate(ids)
    )
    scored = tuple(
        RenderedToken(token_id, record.taken.token)
        for token_id, record in zip(header.text_ids, path, strict=False)
        if record.taken is not None
    )
    missing = () if known and ids else (NO_TEXTS if ids else NO_TOKENS,)
    return RenderedPrompt(header.prompt_text, tokens, scored if known else (), (), (*header.warnings, *missing))
