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
NOTHING_ADDED = "No step is measured yet. The KL of each step adds up, and survival falls."
WRITING = (
    "They write. At each token, a word or a piece of one, you see how far apart they are: in the hidden state (what "
    "the last layer makes of the text), in the logits (a score for each possible token), and in the probabilities."
)


def two_models(header: RunHeader) -> str:
    """Before the first step."""
    return (
        "A pruned model still answers multiple choice and fails at writing: why? One prompt for two models: the dense "
        f"one has all its weights; the other is {header.title}{_removed(header)}."
    )


def _removed(header: RunHeader) -> str:
    """What pruning did, and of a setting of one method and ratio, which method did it."""
    if header.prune is None or not header.prune.summary:
        return ""
    method, _, ratio = header.prune.setting.partition(":")
    by = f", chosen by the method {method}" if method.isalpha() and ratio.replace(".", "").isdigit() else ""
    return f" ({header.prune.summary}{by})"


def wait(step: int, most: int, *, played: bool) -> str:
    """While they write."""
    return f"step {step}, {key_of('rest')} ends it" if played else f"step {step} of at most {most}"


def parting_texts(step: int, dense: str, pruned: str) -> str:
    """After the run, at its end."""
    return (
        f"Before step {step} both wrote the same, right or wrong, as if nothing were missing. There the dense model "
        f"chooses {quoted(dense)}, the pruned one {quoted(pruned)}: a split, which need not be an error. Why do they "
        "part?"
    )


def three_spaces(record: StepRecord | None) -> str:
    """At the split."""
    found = record and (record.shared or record.own)
    if record is None or not found:
        return "This step can't be compared; the worst one can."
    z, p = found.z.cos_centred, found.p.cos
    amplified = z is not None and p is not None and p < z
    softmax = ": the softmax, which makes them of logits, amplifies the change" if amplified else ""
    return (
        f"Cosines here (1 is no change): hidden state {numbers.cosine(found.h.cos)}, centred logits "
        f"{numbers.cosine(z)}, probabilities {'only ' if amplified else ''}{numbers.cosine(p)}{softmax}. Their "
        f"distance, KL: {numbers.significant(found.p.kl)} nat (its unit; 0 is none)."
    )


def accumulated(step: int, kl: float | None, split: int | None, sums: Sums, *, shared: bool) -> str:
    """At the worst step; `shared` if its KL is that on one text."""
    after = f", {number_of(step - split, 'step')} after the split" if split is not None and step > split else ""
    text = " if both read one text" if shared else ""
    worst = f"Step {step} is the worst{text}{after}: KL {numbers.significant(kl)} nat. " if kl is not None else ""
    return (
        f"{worst}All steps add up: so far to ΣKL {numbers.significant(sums.kl_shared)} nat. Survival, the best chance "
        f"that both would have drawn one text, is {numbers.chance_in_words(sums.survival)}."
    )


def which_layer(found: Swaps | None, *, exact: bool, live: bool, stops: bool) -> str:
    """On the screen that explains the worst step; `stops` if only the pruned model chooses to end its text there."""
    if found is None or not found.heal:
        return (
            "The attention and the MLP of each layer get their weights back, one after the other, to see how much of "
            "the KL that heals; "
            + ("estimates (≈) come first, then exact values." if live else "this recording holds none for this step.")
        )
    best = max(found.heal, key=lambda swap: swap.kl_drop)
    name = sublayer_name(best.layer, best.sublayer)
    if not exact:
        return (
            "Each sublayer (attention or MLP of a layer) gets its weights back in turn. Estimates (≈) come first, then "
            f"exact values. So far the suspect is {name}."
        )
    stop = "Here the pruned model would stop, the dense one goes on. " if stops else ""
    smallest = f" {key_of('repair')} then finds the smallest set to give back." if live else ""
    return (
        f"{stop}Give {name} its weights back, and KL falls from {numbers.significant(best.kl_before)} to "
        f"{numbers.significant(best.kl_after)} nat: the most that one of {len(found.heal)} sublayers (attention or MLP "
        f"of a layer) can do.{smallest}"
    )


def where_safe(rows: Sequence[TaskVerdict], *, live: bool) -> str:
    """On the screen that judges tasks."""
    done = [row for row in rows if row.final and row.items]
    found = ", ".join(f"{row.task} {tenths(row.dense.value)} / {tenths(row.pruned.value)}" for row in done)
    if live and len(done) < len(rows):
        scored, of = sum(row.items for row in rows), sum(row.of for row in rows)
        return f"{scored} of {of} items are scored. {f'Right answers in %: {found}. ' if found else ''}{_WHY}"
    if found:
        return f"Right answers in %, dense / pruned: {found}. {_WHY}"
    if live:
        return f"{key_of('score')} scores the tasks with these models, in minutes. {_WHY}"
    return _WHY


_WHY = "Of all tokens' p much changes, of the few options' (options p) little; a text is decided at each token."
