"""Where the prompt and the text of a run come from, if not from their own options."""

from __future__ import annotations

from dataclasses import dataclass, field

from probes.schema.option import described


@dataclass(frozen=True, slots=True)
class PromptSource:
    """Options that end in fields of `RunSettings`."""

    system: str = field(default="", metadata=described("The system prompt.", shown_default="none"))
    prompt_file: str = field(
        default="",
        metadata=described(
            "A file of messages, or of many prompts (FILE#3 is the third): JSON, JSON Lines, or one prompt a line; "
            "- reads standard input.",
            shown_default="--prompt",
        ),
    )
    text_file: str = field(
        default="",
        metadata=described("The file of the text to score; - reads standard input.", shown_default="--text"),
    )
