"""How items are scored, as plain data: what determines the results besides the models and the items."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.errors import BadInput
from probes.schema.option import described

NEW_TOKENS = 32
"""The most tokens of a generated answer, unless another number is given."""


class Pooling(StrEnum):
    """How a text is embedded: from the states `h` that enter the LM head at its tokens."""

    MEAN = "mean"
    """Their mean over the text's own tokens; special tokens are left out."""
    LAST = "last"
    """That of the text's last token."""


@dataclass(frozen=True, slots=True)
class TaskOptions:
    """How the items of all tasks are scored."""

    pooling: Pooling | None = field(
        default=None,
        metadata=described(
            "How a text is embedded for retrieval: the mean of its states, or the last one.",
            shown_default="as the item set says, else mean",
        ),
    )
    refuse_long: bool = field(
        default=False, metadata=described("Refuse documents longer than the models' context instead of cutting them.")
    )
    new_tokens: int = field(default=NEW_TOKENS, metadata=described("The most tokens of a generated answer.", least=1))

    def __post_init__(self) -> None:
        if self.new_tokens < 1:
            raise BadInput("Answer length", f"{self.new_tokens} tokens can't be generated.", "Use 1 or more.")


TASK_DEFAULTS = TaskOptions()
