"""What the tour says at each of its stops, from the figures that are on the screen."""

from __future__ import annotations

from collections.abc import Sequence

from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.culprits import sublayer_name
from explorer.words.token_text import quoted
from explorer.words.verdict_figures import tenths
from probes.schema.counting import number_of
from probes.schema.explanation import Swaps
from probes.schema.header import RunHeader
from probes.schema.record import StepRecord, Sums
from probes.schema.verdict import TaskVerdict

LOADING = (
    "Two copies of a language model are being loaded, and one of them is pruned: it loses weights, and keeps the rest. "
    f"The first time this takes a minute; {key_of('tour-on')} takes the tour on a recording of the same two models."
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
        f"One question for two models: the dense one, and its copy under {header.title}{removed}, in which the pruned "
        "weights are 0. At every token, what they compute is compared."
    )


def wait(step: int, most: int, *, played: bool) -> str:
    """While they write."""
    ends = f", {key_of('rest')} ends it" if played else ""
    return f"step {step} of at most {most}{ends}"


def parting_texts(step: int, dense: str, pruned: str) -> str:
    """After the run, at its end."""
    return (
        f"Before step {step} both chose the same tokens, as if nothing had been removed. There the dense model chooses "
        f"{quoted(dense)}, the pruned one {quoted(pruned)}. Whether answers are right is for the last stop; first, "
        "why they part."
    )


def three_spaces(record: StepRecord | None) -> str:
    """At the split."""
    found = record and (record.shared or record.own)
    if record is None or not found:
        return "This step can't be compared; the worst one can."
    kl = f"KL {numbers.significant(found.p.kl)} nat (0 is no change)"
    stable = f"the hidden state keeps a cosine of {numbers.cosine(found.h.cos)}, the centred logits of "
    z, p = found.z.cos_centred, found.p.cos
    if z is None or p is None or not p < z:
        return f"At this step {stable}{numbers.cosine(z)}, the probabilities of {numbers.cosine(p)}: {kl}."
    return (
        f"At this step {stable}{numbers.cosine(z)}, but the probabilities only of {numbers.cosine(p)}: {kl}. "
        "The softmax amplifies what is left of the change."
    )


def accumulated(step: int, kl: float | None, split: int | None, sums: Sums) -> str:
    """At the worst step."""
    after = f", {number_of(step - split, 'step')} after the split" if split is not None and step > split else ""
    worst = f"Step {step} is the worst{after}: KL {numbers.significant(kl)} nat. " if kl is not None else ""
    return (
        f"{worst}In generation every token's loss counts: up to here they sum to ΣKL "
        f"{numbers.significant(sums.kl_shared)} nat, and two models that draw their tokens have written the same text "
        f"with a chance of {numbers.chance_in_words(sums.survival)} (survival)."
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
    smallest = f" {key_of('repair')} then finds the smallest set to give back." if live else ""
    return (
        f"Give {name} back, and KL falls from {numbers.significant(best.kl_before)} to "
        f"{numbers.significant(best.kl_after)} nat: one of {len(found.heal)} sublayers.{smallest}"
    )


def where_safe(rows: Sequence[TaskVerdict], *, live: bool) -> str:
    """On the screen that judges tasks."""
    done = [row for row in rows if row.final and row.items]
    found = ", ".join(f"{row.task} {tenths(row.dense.value)} → {tenths(row.pruned.value)}" for row in done)
    if live and len(done) < len(rows):
        scored, of = sum(row.items for row in rows), sum(row.of for row in rows)
        return f"{scored} of {of} items are scored. {f'Right, in %: {found}. ' if found else ''}{_WHY}"
    if found:
        return f"Right, dense → pruned, in %: {found}. {_WHY}"
    if live:
        return f"{key_of('score')} scores the tasks with these models, in minutes. {_WHY}"
    return _WHY


_WHY = (
    "One stable representation decides an option, a label or a document; a text is decided again at each token, on top "
    "of all before it."
)
