"""How many tokens a prompt has, in words."""

from __future__ import annotations

from probes.schema.rendered import RenderedPrompt


def count_sentence(found: RenderedPrompt) -> str:
    """The number of tokens: "31 tokens, 5 of them special; 12 of the text to score follow"."""
    count = len(found.tokens)
    parts = [f"{count:,} token{'s' * (count != 1)}"]
    if found.special:
        parts.append(f", {found.special:,} of them special")
    if found.scored:
        parts.append(f"; {len(found.scored):,} of the text to score follow")
    return "".join(parts)
