"""What the tour says at each of its stops, from the figures that are on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.culprits import sublayer_name
from explorer.words.token_text import quoted
from explorer.words.verdicts import score
from probes.schema.counting import number_of
from probes.schema.explanation import Swaps
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord, Sums
from probes.schema.verdict import TaskVerdict

LOADING = (
    "Two copies of a language model are being loaded, and one of them is pruned: it loses weights, and keeps the rest. "
    "The first time this takes a minute; > takes the tour on a recording of the same two models."
)
NO_MODELS = (
    "The models can't be loaded here. The tour is the same on a recording of SmolLM2-135M-Instruct and its copy "
    "without three tenths of the weights in its layers."
)
CANCELLED = (
    "Loading was cancelled. The tour is the same on a recording of SmolLM2-135M-Instruct and its copy without three "
    "tenths of the weights in its layers."
)
WRITING = (
    "They write: at each token you see how far apart the two models are, in the hidden state, logits, probabilities."
)


def two_models(header: RunHeader) -> str:
    """Before the first step."""
    removed = f" ({header.prune.summary})" if header.prune is not None and header.prune.summary else ""
    return (
        f"On the left is the dense model, on the right its copy under {header.title}{removed}. "
        "Both get one question, and their answers are compared at every token."
    )


def parting_texts(step: int, dense: str, pruned: str) -> str:
    """After the run, at its end."""
    return (
        f"Up to step {step} both chose the same tokens, as if nothing had been removed. There the dense model chooses "
        f"{quoted(dense)}, and the pruned one {quoted(pruned)}. But where did the models really part?"
    )


def three_spaces(record: StepRecord | None) -> str:
    """At the split."""
    found = record and (record.shared or record.own)
    if record is None or not found:
        return "This step can't be compared; the worst one can."
    return (
        f"At this step the hidden state keeps a cosine of {numbers.cosine(found.h.cos)}, the logits, "
        f"centred, one of {numbers.cosine(found.z.cos_centred)}; of the probabilities the softmax leaves "
        f"{numbers.cosine(found.p.cos)}, and {numbers.percent(found.p.tv)} of the mass has moved (TV)."
    )


def accumulated(step: int, kl: float | None, split: int | None, last: Sums, steps: int) -> str:
    """At the worst step."""
    after = f", {number_of(step - split, 'step')} after the split" if split is not None and step > split else ""
    worst = f"Step {step} is the worst{after}: KL {numbers.significant(kl)} nat. " if kl is not None else ""
    return (
        f"{worst}In generation every token's loss counts: after {steps} steps ΣKL is "
        f"{numbers.significant(last.kl_shared)} nat, and two samplers would have written the same text so far with a "
        f"chance of {numbers.chance_in_words(last.survival)} (survival)."
    )


def which_layer(found: Swaps | None, *, exact: bool, live: bool) -> str:
    """On the screen that explains the worst step."""
    if found is None or not found.heal:
        return (
            "Each attention and MLP is made dense again, one after the other, to see how much of the KL that heals; "
            + ("estimates (≈) come first, then exact values." if live else "this recording holds none for this step.")
        )
    best = max(found.heal, key=lambda swap: swap.kl_drop)
    name = sublayer_name(best.layer, best.sublayer)
    if not exact:
        return f"Estimates (≈) order the sublayers, exact values follow. So far the suspect is {name}."
    return (
        f"Give {name} back, and KL falls from {numbers.significant(best.kl_before)} to "
        f"{numbers.significant(best.kl_after)} nat: one of {len(found.heal)} sublayers. Page 5 finds the smallest set."
    )


def where_safe(rows: Sequence[TaskVerdict], *, live: bool) -> str:
    """On the screen that judges tasks."""
    why = (
        "An option, a label or a document is chosen by one stable representation; a text by one distribution after "
        "another, each on top of all tokens before it."
    )
    found = ", ".join(f"{row.task} {score(row.dense.value)} → {score(row.pruned.value)}" for row in rows if row.items)
    if found:
        return f"Right, dense → pruned: {found}. {why}"
    return f"{key_of('score')} scores the tasks. {why}" if live else why
