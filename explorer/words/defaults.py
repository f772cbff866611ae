"""The default prompt and the default prune setting."""

from __future__ import annotations

from probes.schema.settings import Follow

DEFAULT_PROMPT = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
"""The prompt when none is given: short, with one right answer, and mild pruning already breaks it."""

DEFAULT_PRUNE = "wanda:0.5"
"""The setting when neither a setting nor a second model is named."""


def prompt_for(follow: Follow, prompt: str) -> str:
    """The prompt in another context. The default prompt is left out before a text to score, and comes back after it."""
    if follow is Follow.TEXT:
        return "" if prompt == DEFAULT_PROMPT else prompt
    return prompt or DEFAULT_PROMPT
