"""Sentences on what explains a token: the culprit, the kind of split, repairs."""

from __future__ import annotations

import math

from explorer.words import numbers
from explorer.words.token_text import quoted
from probes.schema.counting import number_of
from probes.schema.explanation import Layers, Swap, Swaps
from probes.schema.repair import Repair
from probes.schema.split_anatomy import NEAR_TIE, SplitAnatomy, SplitVerdict

MOST_OF_IT = 0.5
"""A sublayer did most of it if healing it takes away at least this share of the KL."""
ONLY_DENSE = "As far as was searched, only the dense model itself reaches it."
NAMES = {"attn": "attention", "mlp": "MLP"}


def sublayer_name(layer: int, sublayer: str) -> str:
    """ "layer 7's MLP"."""
    return f"layer {layer}'s {NAMES.get(sublayer, sublayer)}"


def culprit(found: Swaps, *, final: bool = True, split: bool = True, short: bool = False) -> str:
    """The sublayer that did it, in one sentence, which claims no more than the swaps show.

    `split`: do the models choose different tokens at one of the steps? `short` leaves out what a table shows.
    """
    if not found.heal or not found.kl > 0 or math.isnan(found.kl):
        return ""
    best = max(found.heal, key=_drop)
    if not final:
        return ""
    name, before, after = sublayer_name(best.layer, best.sublayer), *_fall(best)
    kl = "the span's mean KL" if found.steps > 1 else "KL"
    if best.kl_drop <= 0:
        return f"No single sublayer did it: with any of them dense, {kl} stays at {before} nat or rises."
    returns = ""
    if split and best.top_token_returns:
        returns = f" and the dense token{'s return' if found.steps > 1 else ' returns'}"
    most = not math.isfinite(best.kl_drop) or best.kl_drop >= MOST_OF_IT * best.kl_before
    if short:
        part = "most of it" if most else "the largest part"
        return f"{_capital(name)} did {part}: {kl} {before} → {after} nat with it dense{returns}."
    part = "most of it" if most else "the largest part, but not most of it"
    return f"{_capital(name)} did {part}: with it dense, {kl} falls from {before} to {after} nat{returns}."


def suspect(found: Swaps) -> str:
    """The likely culprit while exact values are still missing: an estimate orders, and only exact values are quoted."""
    if not found.heal or not found.kl > 0:
        return ""
    best = max(found.heal, key=_drop)
    name, measured = sublayer_name(best.layer, best.sublayer), sum(one.exact for one in found.heal)
    if not best.kl_drop > 0:
        return ""
    if best.exact:
        before, after = _fall(best)
        so_far = f"So far, with {measured} of {number_of(len(found.heal), 'heal')} measured, {name} heals most"
        return f"{so_far}: with it dense, KL falls from {before} to {after} nat."
    if not measured:
        return f"{_capital(name)} is the likely culprit by the estimate."
    return f"{_capital(name)} is the likely culprit: its estimate is above the {number_of(measured, 'heal')} measured."


COMPUTING = "Which sublayer did it is being computed."


def parting(found: Layers) -> str:
    """Where the two models' readings through the LM head differ for good, which need not be where the damage began.

    Tokens are only named if they are those of the last sublayer, which the models choose."""
    row = found.parting
    if row is None:
        return "Both models end on the same token."
    pairs = [(one.lens_dense.token_id, one.lens_pruned.token_id) for one in (row, found.rows[-1])]
    chosen = pairs[0] == pairs[1]
    tokens = f": {quoted(row.lens_dense.token)} against {quoted(row.lens_pruned.token)}" if chosen else ""
    name = sublayer_name(row.layer, row.sublayer)
    return f"Read through the LM head (logit lens), the models differ from {name} on{tokens}; it need not begin there."


def split_kind(found: SplitAnatomy) -> str:
    """The verdict on a split."""
    a, b = quoted(found.a.token), quoted(found.b.token)
    dense, pruned = numbers.signed(found.margin_dense), numbers.signed(found.margin_pruned)
    margins = f"The margin ln p({a}) − ln p({b}) is {dense} in the dense model and {pruned} in the pruned one"
    if found.sampled and found.verdict is not SplitVerdict.NUMERICAL:
        drawn = f"the dense model drew {a} (its rank {found.a.rank_dense})"
        return f"Sampled: {drawn}, the pruned one {b} (its rank {found.b.rank_pruned}). {margins}."
    match found.verdict:
        case SplitVerdict.NEAR_TIE:
            return f"Near-tie: the dense model itself hardly prefers {a} to {b}. {margins}."
        case SplitVerdict.CONFIDENT_FLIP:
            return f"Confident flip: the dense model clearly prefers {a}, the pruned one {b}. {margins}."
        case SplitVerdict.NUMERICAL:
            return (
                f"Numerical, not damage: the change is below the noise floor, so an identical model in another batch "
                f"or with other threads could split here too. {margins}."
            )
        case None:
            return f"No split: both models choose {a}. {margins}."


def split_thresholds(found: SplitAnatomy) -> str:
    """The sentence on what a verdict means in figures; "" without one."""
    least = numbers.significant(NEAR_TIE, 2)
    flip = f"a confident flip is a split whose dense margin is {least} nat or more (its token at least twice as likely)"
    floor = f" Numerical is a change of at most {numbers.significant(found.floor)} nat, the noise floor."
    if found.verdict is None:
        return ""
    return f"Of two tokens, {flip}; a near-tie is one below.{floor if found.floor else ''}"


NOT_HELD_OUT_YET = "It is not measured on other text: only the answer of a whole search is."


def repaired(found: Repair, *, final: bool = True) -> str:
    """The gain of a repair on the steps that it was fitted to. If it is not `final`, it is the best set so far."""
    count = len(found.given_back)
    what = {"sublayer": "sublayer", "matrix": "matrix", "weight": "set of weights"}[found.level]
    plural = {"sublayer": "sublayers", "matrix": "matrices", "weight": "sets of weights"}[found.level]
    if not found.given_back:
        return "Nothing has to be given back: the target is met already." if found.reached else "Nothing helps."
    gain = (
        f"KL falls from {numbers.significant(found.span.kl_before)} to {numbers.significant(found.span.kl_after)} nat"
    )
    where = " in the mean of the span" if found.span.steps > 1 else " at this step"
    if found.span.steps == 1 and found.span.agree_before < 1:
        back = found.span.agree_after == 1
        where += " and the dense token returns" if back else ", but the dense token does not return"
    cost = f"{share_of(found.parameters, found.of)} of the pruned parameters"
    reached = "" if found.reached else " The target is not reached."
    if found.only_dense:
        reached += f" {ONLY_DENSE}"
    giving = "Giving back" if final else "The best set so far: giving back"
    return f"{giving} {count} {what if count == 1 else plural} ({cost}), {gain}{where}.{reached}"


def held_out(found: Repair) -> str:
    """The gain of a repair on text that it was not fitted to, and whether it holds."""
    other = found.held_out
    if other is None:
        return (
            "There is no held-out text to check it on: a repair fitted to one span may not hold elsewhere. Run on past "
            "the span, or give a second prompt."
        )
    gain = f"from {numbers.significant(other.kl_before)} to {numbers.significant(other.kl_after)} nat"
    warning = "A repair fitted to one span may not hold elsewhere"
    if other.kl_after >= other.kl_before:
        return f"{warning}, and this one does not: on {found.held_out_text} KL goes {gain}."
    kept = _share(other.kl_before, other.kl_after) / max(1e-9, _share(found.span.kl_before, found.span.kl_after))
    much = "holds" if kept >= 0.5 else "holds only in part"
    return f"{warning}; this one {much}: on {found.held_out_text} KL falls {gain}."


def share_of(part: int, whole: int) -> str:
    """A number of parameters as a share of others."""
    return numbers.percent(part / whole) if whole else numbers.NONE


def _share(before: float, after: float) -> float:
    return (before - after) / before if before > 0 else 0.0


def _drop(swap: Swap) -> float:
    return -math.inf if math.isnan(swap.kl_drop) else swap.kl_drop


def _fall(swap: Swap) -> tuple[str, str]:
    return numbers.significant(swap.kl_before), numbers.significant(swap.kl_after)


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
