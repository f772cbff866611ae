"""From a token's text, as tables show it, to its id."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from probes.models.tokens import TokenDecoder, token_ids_of
from probes.models.vocabulary import named_ids
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.watch import WatchedGroup, WatchedIds

_SHOWN_PIECES = 8


def token_named(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    """The id of the token with this text, its leading space included. Raises `BadInput` if there is none.

    A tokenizer may put a space before a text, or cut it elsewhere than between tokens, so a token that it does not give
    for this text alone is searched for among all.
    """
    tokens = TokenDecoder(tokenizer)
    ids = token_ids_of(tokenizer, text, special=False)
    if len(ids) == 1 and tokens.piece(ids[0]) == text:
        return ids[0]
    found = next((token for token in range(named_ids(tokenizer)) if tokens.piece(token) == text), None)
    if found is not None:
        return found
    pieces = " ".join(f"“{visible(tokens.piece(one))}”" for one in ids[:_SHOWN_PIECES])
    what = f"{len(ids)} tokens: {pieces}" if len(ids) > 1 else f"not a token; the nearest is {pieces}"
    raise BadInput(
        "Not one token",
        f"“{visible(text)}” is {what if ids else 'no token'}.",
        "Name one of its tokens; a word within a text begins with its space.",
    )


def watched_ids(tokenizer: PreTrainedTokenizerBase, groups: Sequence[WatchedGroup]) -> tuple[WatchedIds, ...]:
    """The ids of watched groups. Raises `BadInput` if a text is not exactly one token, or two groups share a token."""
    found: list[WatchedIds] = []
    owners: dict[int, str] = {}
    for group in groups:
        ids = dict.fromkeys(form if isinstance(form, int) else token_named(tokenizer, form) for form in group.forms)
        for token in ids:
            if token in owners:
                both = f"“{visible(owners[token])}” and “{visible(group.label)}”"
                raise BadInput("Watched tokens", f"{both} both have the token {token:,}.", "Leave it out of one.")
            owners[token] = group.label
        found.append(WatchedIds(group.label, tuple(ids)))
    return tuple(found)
