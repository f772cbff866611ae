"""The settings of a run, as plain data: contexts, sampling, length."""

from __future__ import annotations

import math
import re
import sys
from dataclasses import dataclass, field
from enum import StrEnum

from probes.schema.conversation import Conversation, TemplateArgs, Turns, check_args
from probes.schema.errors import BadInput
from probes.schema.option import described
from probes.schema.watch import WATCH_GRAMMAR, WatchedGroup, check_watched


class Follow(StrEnum):
    """The context that each model reads."""

    DENSE = "dense"
    """Both read the dense model's tokens: the effect of pruning alone, on the dense model's path."""
    PRUNED = "pruned"
    """Both read the pruned model's tokens: the effect of pruning alone, on the path a deployment would take."""
    FREE = "free"
    """Each reads its own: the difference that a user of the pruned model sees."""
    TEXT = "text"
    """Both read a given text: scoring, without sampling."""


STEPS = 128
"""The default length of the longest run, in steps."""

_HALF = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair: Python decodes a byte that is not UTF-8 to one, and no tokenizer accepts it."""

LEAST_TEMPERATURE = 1e-6
"""Below it, logits divided by the temperature are too large to keep their differences."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """The choice of tokens, the same for both models. Temperature 0 is greedy."""

    temperature: float = field(
        default=0.0, metadata=described("The sampling temperature; 0 always takes the likeliest token.")
    )
    top_k: int = field(default=0, metadata=described("Sample among the K likeliest tokens; 0 keeps all."))
    top_p: float = field(
        default=1.0, metadata=described("Sample among the likeliest tokens that add up to P; 1 keeps all.")
    )
    seed: int = field(default=0, metadata=described("The seed of sampling, the same for both models."))

    def __post_init__(self) -> None:
        if self.temperature != 0 and not LEAST_TEMPERATURE <= self.temperature < math.inf:
            raise BadInput(
                "Temperature",
                f"{self.temperature} is not a temperature.",
                f"Use 0 for greedy, or {LEAST_TEMPERATURE:g} and above.",
            )
        if self.top_k < 0:
            raise BadInput("Top-k", f"{self.top_k} is not a number of tokens.", "Use 0 for all, or 1 and up.")
        if not 0 < self.top_p <= 1:
            raise BadInput("Top-p", f"{self.top_p} is not a share.", "Use a number above 0 and at most 1.")
        if not 0 <= self.seed < 2**64:
            raise BadInput("Seed", f"{self.seed} is not a seed.", "Use a whole number from 0 to 2^64 - 1.")

    @property
    def greedy(self) -> bool:
        return self.temperature == 0

    def __str__(self) -> str:
        if self.greedy:
            return "greedy"
        parts = [f"T {self.temperature:g}"]
        if self.top_k:
            parts.append(f"top-k {self.top_k}")
        if self.top_p < 1:
            parts.append(f"top-p {self.top_p:g}")
        parts.append(f"seed {self.seed}")
        return " ".join(parts)


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that determines the figures of a run, except the two models."""

    prompt: str = field(
        metadata=described(
            "The prompt; - reads standard input.",
            shown_default="a word problem, or nothing before a text to score",
            may_be_empty=True,
        )
    )
    """May be empty if a text is scored: then only the text is read."""
    raw: bool = field(default=False, metadata=described("Send the prompt as it is, without a chat template."))
    follow: Follow = field(
        default=Follow.DENSE,
        metadata=described(
            "The tokens that the models read: the dense or the pruned model's, each its own, or a text."
        ),
    )
    text: str = field(
        default="",
        metadata=described("The text to score with --follow text; - reads standard input.", may_be_empty=True),
    )
    sampling: Sampling = Sampling()
    analysis_temperature: float | None = field(
        default=None,
        metadata=described(
            "The temperature of the two distributions that are compared.",
            shown_default="the sampling temperature, or 1 if that is 0",
        ),
    )
    steps: int = field(
        default=0,
        metadata=described("The longest run, in tokens.", shown_default=f"{STEPS}, or all of a text to score", least=1),
    )
    """0 is the default."""
    top: int = 10
    """How many of each model's likeliest tokens a step keeps."""
    chat_template: str = field(
        default="",
        metadata=described("The name of the chat template, if the tokenizer has several.", shown_default="its default"),
    )
    watch: tuple[WatchedGroup, ...] = field(
        default=(),
        metadata=described(
            f"Follow the probability of these tokens, for example {WATCH_GRAMMAR}.", shown_default="none"
        ),
    )
    """The watched groups; empty follows none."""
    turns: Turns = field(
        default=(),
        metadata=described(
            "A turn before the prompt, ROLE=TEXT; may be repeated.", name="turn", shown_default="none", several=True
        ),
    )
    """The turns before the prompt, a system prompt among them."""
    begun: str = field(
        default="",
        metadata=described("The beginning of the answer, which the models go on writing.", shown_default="nothing"),
    )
    template_args: TemplateArgs = field(
        default=(),
        metadata=described(
            "A variable of the chat template, NAME=VALUE, such as enable_thinking=false; may be repeated.",
            name="template-arg",
            shown_default="none",
            several=True,
        ),
    )

    def __post_init__(self) -> None:
        check_watched(self.watch)
        forms = [form for group in self.watch for form in (group.label, *group.forms) if isinstance(form, str)]
        said = [*(turn.content for turn in self.turns), *(turn.role for turn in self.turns), self.begun]
        values = [arg.value for arg in self.template_args if isinstance(arg.value, str)]
        for name, text in (
            ("prompt", self.prompt),
            ("text", self.text),
            *(("watched token", form) for form in forms),
            *(("message", text) for text in said),
            *(("template argument", value) for value in values),
        ):
            if not text.isascii() and _HALF.search(text):
                raise BadInput(
                    f"{name.capitalize()} is not text",
                    f"The {name} holds bytes that are not UTF-8.",
                    "Convert it to UTF-8, or leave those bytes out.",
                )
        self._check_conversation()
        if self.analysis_temperature is not None and not (LEAST_TEMPERATURE <= self.analysis_temperature < math.inf):
            raise BadInput(
                "Analysis temperature",
                f"{self.analysis_temperature} is not a temperature.",
                f"Use a number of at least {LEAST_TEMPERATURE:g}.",
            )
        if self.steps < 0:
            raise BadInput("Steps", f"{self.steps} steps can't be run.", "Use 1 or more.")
        if self.top < 1:
            raise BadInput("Top", f"{self.top} tokens can't be kept.", "Use 1 or more.")
        if self.follow is Follow.TEXT and not self.text:
            raise BadInput(
                "No text", "--follow text needs a text to score.", "Give it with --text, or choose another context."
            )

    def _check_conversation(self) -> None:
        check_args(self.template_args)
        if self.raw and (self.turns or self.begun or self.template_args):
            raise BadInput(
                "Raw prompt",
                "A raw prompt uses no chat template, so it has no other turns, begun answer or template arguments.",
                "Send the prompt alone, or through the template.",
            )
        if (self.turns or self.begun) and not self.prompt.strip():
            raise BadInput("Empty prompt", "After the other turns, the user's prompt is empty.", "Type one.")

    @property
    def conversation(self) -> Conversation:
        """All turns: those before the prompt, the prompt, and the begun answer."""
        return Conversation(self.turns, self.prompt, self.begun)

    @property
    def longest(self) -> int:
        """The most steps of a run; for a text, unlimited unless `steps` is set."""
        return self.steps or (sys.maxsize if self.follow is Follow.TEXT else STEPS)

    @property
    def analysis_t(self) -> float:
        """The temperature of the compared distributions."""
        if self.analysis_temperature is not None:
            return self.analysis_temperature
        return 1.0 if self.sampling.greedy else self.sampling.temperature
