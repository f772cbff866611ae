"""A pause is a value, and its sentence follows from the value. Sentences of older recordings become values again."""

from __future__ import annotations

import math

import pytest

from explorer.words.pauses import pause_sentence
from probes.recording.lines import decode
from probes.recording.old_pauses import pause_of
from probes.schema.events import RunPaused, Why
from probes.schema.record import Invalid
from probes.schema.until import Met

SENTENCES = [
    (RunPaused(1, Why.ASKED, 3), "Paused after step 3."),
    (RunPaused(1, Why.FAILED, 3), "Stopped after step 3."),
    (RunPaused(1, Why.STEPS, 16), "16 steps are done."),
    (RunPaused(1, Why.STEPS, 16, more=12), "16 steps are done; running again does 12 more."),
    (RunPaused(1, Why.STEPS, 16, left=1234), "16 steps are done, and 1,234 tokens of the text are left."),
    (RunPaused(1, Why.CONTEXT, 96), "The models' maximum context is reached after 96 steps."),
    (RunPaused(1, Why.ENDED, 65), "The text ended at step 65."),
    (RunPaused(1, Why.TEXT, 65), "The given text ends at step 65."),
    (
        RunPaused(1, Why.INVALID, invalid=Invalid("pruned", "model.layers.3")),
        "The pruned model computed NaN or infinity from model.layers.3 on, so it can't choose a token.",
    ),
    (
        RunPaused(1, Why.INVALID, invalid=Invalid("dense", "")),
        "The dense model computed NaN or infinity, so it can't choose a token.",
    ),
    (RunPaused(1, Why.MEASURED, 12), "The same 12 steps have been measured under this setting."),
    (RunPaused(1, Why.MEASURED, 1), "The same step has been measured under this setting."),
    (RunPaused(1, Why.KNOWN, 8), "These 8 steps were measured earlier under this setting."),
    (RunPaused(1, Why.KNOWN, 1), "This step was measured earlier under this setting."),
]
"""Pauses with the sentences that people read now."""

OLD_SENTENCES = [
    (RunPaused(1, Why.ASKED, 3), "Paused after step 3."),
    (RunPaused(1, Why.FAILED, 3), "Stopped after step 3."),
    (RunPaused(1, Why.STEPS, 16), "16 steps are done."),
    (RunPaused(1, Why.STEPS, 16, more=12), "16 steps are done; running again goes on for 12 more."),
    (RunPaused(1, Why.STEPS, 16, left=1234), "16 steps are done, and 1,234 tokens of the text are left."),
    (RunPaused(1, Why.CONTEXT, 96), "The models read no more than this: 96 steps after the prompt."),
    (RunPaused(1, Why.ENDED, 65), "The text ended at step 65."),
    (RunPaused(1, Why.TEXT, 65), "The given text ends at step 65."),
    (
        RunPaused(1, Why.INVALID, invalid=Invalid("pruned", "model.layers.3")),
        "The pruned model computed NaN or infinity from model.layers.3 on: it has no token to offer.",
    ),
    (
        RunPaused(1, Why.INVALID, invalid=Invalid("dense", "")),
        "The dense model computed NaN or infinity: it has no token to offer.",
    ),
    (RunPaused(1, Why.MEASURED, 12), "The same 12 steps are measured under this setting."),
    (RunPaused(1, Why.KNOWN, 1), "1 step is measured under this setting before."),
]
"""Pauses with the sentences that recordings of format 1 hold in their place."""


@pytest.mark.parametrize(("pause", "sentence"), SENTENCES, ids=[sentence for _, sentence in SENTENCES])
def test_a_pause_says_why_the_run_is_paused(pause: RunPaused, sentence: str) -> None:
    assert pause_sentence(pause) == sentence


@pytest.mark.parametrize(("pause", "sentence"), OLD_SENTENCES, ids=[sentence for _, sentence in OLD_SENTENCES])
def test_the_sentence_of_an_older_recording_becomes_the_same_value(pause: RunPaused, sentence: str) -> None:
    old = '{"kind":"paused","at":1.0,"run":1,"why":"asked","reason":' + f'"{sentence}"' + "}"
    found, _ = decode(old.encode(), 1)
    assert found.event == pause  # type: ignore[union-attr]  # it is a known kind


@pytest.mark.parametrize(
    ("met", "sentence"),
    [
        (Met("split", 3, tokens=(" a", "\n")), r"The choices differ at step 3: ' a' against '\n'."),
        (Met("kl>2", 14, value=2.3099), "KL 2.31 at step 14 is above 2."),
        (Met("kl>2", 14, value=math.inf), "KL inf at step 14 is above 2."),
        (Met("survival<0.01", 9, value=0.0), "Survival 0 at step 9 is below 0.01."),
        (Met("loop", 30, period=1), "The text repeats its last token at step 30."),
        (Met("loop", 30, side="dense", period=4), "The dense text repeats its last 4 tokens at step 30."),
        (Met("token= x", 5, tokens=(" x",)), "The token ' x' was taken at step 5."),
        (Met("steps=20", 24), "20 steps are done."),
        (Met("split", 3), "split is met at step 3."),
    ],
)
def test_a_condition_says_what_met_it(met: Met, sentence: str) -> None:
    assert pause_sentence(RunPaused(1, Why.UNTIL, met.step, met=met)) == sentence


def test_a_sentence_of_an_older_recording_that_says_something_else_is_kept() -> None:
    old = {"kind": "paused", "run": 1, "why": "until", "reason": "KL 3 at step 1 is above 2."}
    assert pause_of(old) == {"kind": "paused", "run": 1, "why": "until", "said": "KL 3 at step 1 is above 2."}
    assert pause_sentence(RunPaused(1, Why.UNTIL, said="KL 3 at step 1 is above 2.")) == "KL 3 at step 1 is above 2."
    assert pause_of({"why": "asked", "reason": "9" * 40 + " steps are done."})["why"] == "steps"


@pytest.mark.parametrize("why", list(Why))
def test_no_reason_is_without_a_sentence(why: Why) -> None:
    assert pause_sentence(RunPaused(1, why)).endswith(".")
