"""Two sentences about a step, computed from its record. They claim no more than the figures show."""

from __future__ import annotations

import math

from explorer.words import numbers
from explorer.words.bound_keys import key_of
from explorer.words.token_text import quoted
from probes.schema.record import Comparison, StepRecord, TopToken

NOTHING = (
    "Both models have read the prompt. Nothing is generated yet.",
    f"{key_of('run')} runs them, {key_of('step')} measures a single step.",
)
CLOSE_KL = 0.1
"""Below this KL, in nats, the first choices say more than the token that carries most of the KL."""
LITTLE_KL = 0.5
"""Below this KL, in nats, two predictions differ a little, unless the models choose different tokens."""
NAMED_SHARE = 0.1
"""A token is named as the cause of the change if it holds at least this share of the KL."""
WORDS = (
    (0.01, "practically alike"),
    (CLOSE_KL, "nearly alike"),
    (LITTLE_KL, "a little different"),
    (2.0, "clearly different"),
)
"""The words for a KL below a bound."""


def sentences(record: StepRecord | None, diverges_at: int | None = None, *, scored: bool = False) -> tuple[str, str]:
    """A sentence about the step, and one about its place in the run, whose texts diverge at `diverges_at`.

    The second may be empty. If a text is scored, it is about the text's token.
    """
    if record is None:
        return NOTHING
    if scored and (about := scored_token(record)):
        return step(record), f"The text continues with {about}."
    return step(record), context(record, diverges_at)


def scored_token(record: StepRecord | None) -> str:
    """The token that a given text has here, with its probability under either model; "" if there is none."""
    taken = record.taken if record is not None else None
    if taken is None:
        return ""
    p, q = (numbers.significant(share) for share in (taken.p, taken.q))
    return f"{quoted(taken.token)}: dense p {p}, pruned q {q}"


def step(record: StepRecord) -> str:
    """The sentence about the step, on the shared context if there is one."""
    if record.invalid is not None:
        return (
            f"The {record.invalid.model} model computed NaN or infinity here, first in {record.invalid.layer}, "
            "so this step has no figures."
        )
    if record.missing:
        return "This step can't be read in the recording. The steps after it are complete."
    shared = record.shared
    if shared is None:
        return _nothing_shared(record)
    where = "" if record.same_context else "On the same text "
    kl = shared.p.kl
    if math.isinf(kl):
        model = "the pruned model" if where else "The pruned model"
        return f"{where}{model} gives probability 0 to a token the dense model allows: the KL is infinite."
    if math.isnan(kl):
        return "The KL of this step is undefined."
    subject = "the two models" if where else "The two models"
    said = f"predict {_word(kl).replace('different', 'differently')}"
    if record.same_context and record.agree is False and CLOSE_KL <= kl < LITTLE_KL:
        said = "choose different tokens"
    return f"{where}{subject} {said} (KL {numbers.significant(kl)} nat){_detail(shared)}."


def brief(record: StepRecord | None) -> str:
    """The first sentence for a single line of 80 cells, which only a long token makes longer."""
    if record is None:
        return NOTHING[0]
    if record.invalid is not None:
        return f"NaN or infinity in the {record.invalid.model} model, first in {record.invalid.layer}."
    shared = record.shared
    if shared is None and not record.missing and (record.dense is None) != (record.pruned is None):
        return f"The {'dense' if record.dense is None else 'pruned'} model has ended, so there is nothing to compare."
    if shared is not None and math.isinf(shared.p.kl):
        return "Infinite KL: the pruned model gives 0 to a token the dense model allows."
    if shared is None or math.isnan(shared.p.kl):
        return step(record)
    detail = _detail(shared, with_share=False)
    return f"{_word(shared.p.kl).capitalize()}, KL {numbers.significant(shared.p.kl)}{detail}."


def _word(kl: float) -> str:
    """How far apart two predictions with this KL are."""
    for bound, word in WORDS:
        if kl < bound:
            return word
    return "very different"


def context(record: StepRecord, diverges_at: int | None = None) -> str:
    """The sentence about the step's place in the run, whose texts diverge at `diverges_at`."""
    if not record.same_context and record.own is not None and record.shared is not None:
        return _drift(record.own.p.kl, record.shared.p.kl, diverges_at)
    if record.sum.first_split == record.step and record.dense and record.pruned:
        choices = f"{quoted(record.dense.token)} against {quoted(record.pruned.token)}"
        own = " The texts diverge here." if record.diverges else ""
        return f"The first different choices: {choices}.{own}"
    if record.diverges and record.taken and record.taken_pruned:
        tokens = f"{quoted(record.taken.token)} against {quoted(record.taken_pruned.token)}"
        return f"The texts diverge here: {tokens}."
    if record.invalid is not None or record.shared is None:
        return ""
    if record.pruned is None:
        return "The pruned text has ended: own figures are –."
    chance = numbers.chance_in_words(record.sum.survival)
    if record.sum.first_split is None:
        return f"Chance {chance} that two samplers still agree; all choices agree."
    agreed = numbers.percent(record.sum.agree_rate)
    return f"Chance {chance} that two samplers still agree; {agreed} of choices agree."


def _nothing_shared(record: StepRecord) -> str:
    if record.dense is None and record.pruned is None:
        return "Both models have ended."
    if record.dense is None:
        return "The dense model has ended, so there is nothing to compare. The pruned one continues alone."
    if record.pruned is None:
        return "The pruned model has ended, so there is nothing to compare. The dense one continues alone."
    return "The two models saw different texts and were not compared on a shared one."


def _detail(shared: Comparison, *, with_share: bool = True) -> str:
    """The first choices, or the token that carries most of the KL."""
    if not shared.top:
        return ""
    dense = min(shared.top, key=lambda row: row.rank_dense)
    pruned = min(shared.top, key=lambda row: row.rank_pruned)
    same = dense.token_id == pruned.token_id
    if shared.p.kl < CLOSE_KL:
        if same:
            return f"; both find {quoted(dense.token)} most likely"
        return f", though the first choices differ: {quoted(dense.token)} against {quoted(pruned.token)}"
    worst = max(shared.top, key=lambda row: row.kl_share)
    if worst.kl_share < NAMED_SHARE:
        spread = ": the change is spread over many tokens"
        return f"{spread}, none holds a tenth of the KL ({_flatness(shared)})" if with_share else spread
    change = _change(worst)
    if not change:
        return ""
    return f": {change}, {numbers.whole_percent(worst.kl_share)} of the KL" if with_share else f": {change}"


def _flatness(shared: Comparison) -> str:
    """Both models' entropies, which say how flat their distributions are."""
    dense, pruned = (numbers.significant(h, 2) for h in (shared.p.entropy_dense, shared.p.entropy_pruned))
    return f"entropies: dense {dense}, pruned {pruned} nat"


def _change(row: TopToken) -> str:
    if row.q <= 0 or row.p <= 0:
        return ""
    ratio = row.p / row.q
    if ratio < 1.05:
        return ""
    factor = numbers.significant(ratio, 2)
    return f"pruning made {quoted(row.token)} {factor} times less likely"


def _drift(own: float, shared: float, diverges_at: int | None) -> str:
    where = "earlier" if diverges_at is None else f"at step {diverges_at}"
    if not (math.isfinite(own) and math.isfinite(shared)):
        return f"The texts diverged {where}."
    if own <= shared:
        return f"The texts diverged {where}, but the KL on own texts ({numbers.significant(own)}) is no larger."
    share = (own - shared) / own
    if share >= 0.5:
        how = "nearly all" if share > 0.9 else "mostly"
        return f"The texts diverged {where}, so the own KL of {numbers.significant(own)} is {how} drift."
    return f"The texts diverged {where}, but most of the own KL ({numbers.significant(own)}) is from pruning."
