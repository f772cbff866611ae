"""The sentences on what explains a token claim no more than the findings show."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from explorer.words import culprits
from probes.schema.explanation import Swap, Swaps
from probes.schema.split_anatomy import SplitVerdict
from tests.support.explained_source import REPAIR, SPLIT, layers


def swapped(*drops: float, kl: float = 1.63, returns: bool = True, steps: int = 1) -> Swaps:
    heal = tuple(Swap(7 - at, "mlp", kl, kl - drop, drop, returns, drop / 2) for at, drop in enumerate(drops))
    return Swaps(steps, kl, 0.0, heal, (), 1.0, 0.0)


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (
            swapped(1.41, 0.1),
            "Layer 7's MLP did most of it: with it dense, KL falls from 1.63 to 0.220 nat and the dense token returns.",
        ),
        (
            swapped(0.2, 1.41, returns=False, steps=4),
            "Layer 6's MLP did most of it: with it dense, the span's mean KL falls from 1.63 to 0.220 nat.",
        ),
        (
            swapped(0.3, returns=False),
            "Layer 7's MLP did the largest part, but not most of it: with it dense, KL falls from 1.63 to 1.33 nat.",
        ),
        (swapped(-0.1), "No single sublayer did it: with any of them dense, KL stays at 1.63 nat or rises."),
        (swapped(0.0, kl=0.0), ""),
        (swapped(), ""),
        (
            swapped(math.nan, 1.0),
            "Layer 6's MLP did most of it: with it dense, KL falls from 1.63 to 0.630 nat and the dense token returns.",
        ),
        (swapped(1.0, kl=math.nan), ""),
    ],
)
def test_the_culprit(found: Swaps, sentence: str) -> None:
    assert culprits.culprit(found) == sentence


def test_the_culprit_in_short_and_where_no_token_was_lost() -> None:
    assert culprits.culprit(swapped(1.41), split=False).endswith("from 1.63 to 0.220 nat.")
    assert culprits.culprit(swapped(1.41, steps=2)).endswith("and the dense tokens return.")
    found = swapped(0.3, returns=False)
    assert culprits.culprit(found, short=True) == (
        "Layer 7's MLP did the largest part: KL 1.63 → 1.33 nat with it dense."
    )


def test_an_estimate_is_never_quoted() -> None:
    found = swapped(1.41, 0.1)
    assert culprits.culprit(found, final=False) == ""
    first, second = found.heal
    guessed = replace(found, heal=tuple(replace(one, exact=False) for one in found.heal))
    assert culprits.suspect(guessed) == "Layer 7's MLP is the likely culprit by the estimate."
    known = replace(found, heal=(first, replace(second, exact=False)))
    assert culprits.suspect(known) == (
        "So far, with 1 of 2 heals measured, layer 7's MLP heals most: with it dense, KL falls from 1.63 to 0.220 nat."
    )
    mixed = replace(found, heal=(replace(first, exact=False), second))
    assert culprits.suspect(mixed) == "Layer 7's MLP is the likely culprit: its estimate is above the 1 heal measured."
    assert culprits.suspect(swapped(-0.1)) == ""
    assert culprits.suspect(swapped()) == ""


@pytest.mark.parametrize("verdict", [*SplitVerdict, None])
def test_every_verdict_shows_both_margins(verdict: SplitVerdict | None) -> None:
    sentence = culprits.split_kind(replace(SPLIT, verdict=verdict))
    assert "+2.78" in sentence
    assert "−1.36" in sentence


def test_a_verdict_states_its_thresholds_and_a_drawn_token_is_not_called_preferred() -> None:
    flip = replace(SPLIT, verdict=SplitVerdict.CONFIDENT_FLIP)
    assert "clearly prefers" in culprits.split_kind(flip)
    sentence = culprits.split_thresholds(replace(flip, floor=0.002))
    assert "0.69 nat or more (its token at least twice as likely)" in sentence
    assert sentence.endswith("a near-tie is one below. Numerical is a change of at most 0.00200 nat, the noise floor.")
    assert culprits.split_thresholds(replace(flip, verdict=None)) == ""
    for drawn in (replace(flip, a=replace(flip.a, rank_dense=3)), replace(flip, b=replace(flip.b, rank_pruned=2))):
        assert drawn.sampled
        sentence = culprits.split_kind(drawn)
        assert "prefers" not in sentence
        ranks = drawn.a.rank_dense, drawn.b.rank_pruned
        assert f'drew " " (its rank {ranks[0]}), the pruned one " half" (its rank {ranks[1]})' in sentence


def test_where_the_lenses_part() -> None:
    assert (
        culprits.parting(layers(3))
        == "Read through the LM head (logit lens), the models differ from layer 7's MLP on: "
        '" the" against " half"; it need not begin there.'
    )
    same = layers(3)
    rows = tuple(replace(row, lens_pruned=row.lens_dense) for row in same.rows)
    assert culprits.parting(replace(same, rows=rows)) == "Both models end on the same token."
    other = replace(same.rows[-1].lens_pruned, token_id=99)
    chosen = replace(same, rows=(*same.rows[:-1], replace(same.rows[-1], lens_pruned=other)))
    assert "on; it need not" in culprits.parting(chosen), "tokens that no model chooses are not named"


@pytest.mark.parametrize(
    ("after", "words"),
    [
        (0.2, "this one holds: on"),
        (0.7, "this one holds only in part"),
        (0.9, "and this one does not"),
        (1.2, "not: on"),
    ],
)
def test_a_repair_says_whether_it_holds_elsewhere(after: float, words: str) -> None:
    assert REPAIR.held_out is not None
    sentence = culprits.held_out(replace(REPAIR, held_out=replace(REPAIR.held_out, kl_after=after)))
    assert words in sentence
    assert sentence.startswith("A repair fitted to one span may not hold elsewhere")


@pytest.mark.parametrize(
    ("before", "after", "words"),
    [
        (0, 1, " and the dense token returns."),
        (0, 0, ", but the dense token does not return."),
        (1, 1, " nat at this step."),
    ],
)
def test_a_repair_of_a_split_says_whether_the_token_returns(before: float, after: float, words: str) -> None:
    span = replace(REPAIR.span, steps=1, agree_before=before, agree_after=after)
    assert culprits.repaired(replace(REPAIR, span=span)).endswith(words)


def test_a_repair_without_held_out_text_warns() -> None:
    assert "may not hold elsewhere" in culprits.held_out(replace(REPAIR, held_out=None))
    assert culprits.repaired(replace(REPAIR, reached=False)).endswith("The target is not reached.")
    assert culprits.repaired(replace(REPAIR, reached=False, only_dense=True)).endswith(culprits.ONLY_DENSE)
    assert culprits.repaired(replace(REPAIR, given_back=(), parameters=0)).startswith("Nothing has to be given back")
