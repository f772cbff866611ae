"""The default prompt and the default prune setting."""

from __future__ import annotations

from dataclasses import replace

from probes.schema.settings import Follow, RunSettings

DEFAULT_PROMPT = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
"""The prompt if none is given. It is short, has one right answer, and even mild pruning breaks it."""

DEFAULT_PRUNE = "wanda:0.5"
"""The setting if neither a setting nor a second model is given."""

LIGHT_PRUNE = "wanda:0.2"
"""The setting of the model that faults are planted in."""


def prompt_for(follow: Follow, prompt: str) -> str:
    """The prompt after a change of context. A text to score has no default prompt before it."""
    if follow is Follow.TEXT:
        return "" if prompt == DEFAULT_PROMPT else prompt
    return prompt or DEFAULT_PROMPT


def with_context(settings: RunSettings, follow: Follow, text: str) -> RunSettings:
    """The settings with another context. A conversation keeps its prompt, whatever is followed."""
    prompt = settings.prompt if settings.turns or settings.begun else prompt_for(follow, settings.prompt)
    return replace(settings, follow=follow, prompt=prompt, text=text)
