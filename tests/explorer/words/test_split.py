"""Sentences about a split say no more than its figures."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from explorer.words.noise import noise_sentence, skipped_sentence
from explorer.words.split import formats_sentence, movers_sentence, parts_by_change
from probes.schema.noise_floor import MARGIN, Noise, NoiseFloor
from probes.schema.split_anatomy import MarginPart, Rival, SplitAnatomy, SplitVerdict

SPLIT = SplitAnatomy(
    a=Rival(1, " a", 0.6, 0.1, 3.0, 1.0, 1, 2),
    b=Rival(2, " b", 0.1, 0.4, 1.0, 2.0, 2, 1),
    margin_dense=math.log(6),
    margin_pruned=-math.log(4),
    entropy_dense=1.0,
    entropy_pruned=1.2,
    parts=(
        MarginPart(None, "embedding", 0.0, 0.0),
        MarginPart(7, "attn", 1.5, 1.75),
        MarginPart(7, "mlp", 0.5, -2.5),
        MarginPart(None, "head", 0.0, -0.25),
    ),
    verdict=SplitVerdict.CONFIDENT_FLIP,
    floor=2e-5,
)
FLOOR = NoiseFloor(48, (Noise("bfloat16", {MARGIN: 4.0}), Noise("2 threads", {"p.kl": 3e-11})), {}, "float32")


def test_the_movers_are_those_along_the_change_and_one_that_moved_it_back() -> None:
    assert movers_sentence(SPLIT) == 'Pruning moved the logits by 3.00 towards " b", above all mlp 7 (−3.00).'
    back = tuple(replace(part, dense=part.pruned, pruned=part.dense) for part in SPLIT.parts)
    assert movers_sentence(replace(SPLIT, parts=back)).endswith('towards " a", above all mlp 7 (+3.00).')
    back = (MarginPart(28, "mlp", 0.0, -1.0), MarginPart(29, "attn", 2.75, 0.0), MarginPart(29, "mlp", 4.75, 7.25))
    assert movers_sentence(replace(SPLIT, parts=back)) == (
        'Pruning moved the logits by 1.25 towards " b", above all attn 29 (−2.75), mlp 28 (−1.00); '
        "mlp 29 (+2.50) moved them back."
    )
    assert [part.sublayer for part in parts_by_change(SPLIT)] == ["mlp", "attn", "head", "embedding"]


@pytest.mark.parametrize("parts", [(), (MarginPart(0, "mlp", 1.0, 1.0),)])
def test_nothing_moved_is_no_sentence(parts: tuple[MarginPart, ...]) -> None:
    assert movers_sentence(replace(SPLIT, parts=parts)) == ""


def test_another_number_format_is_named_if_it_moves_as_much() -> None:
    assert "Computed in bfloat16, an identical model moves a margin by up to 4.00 nat" in formats_sentence(SPLIT, FLOOR)
    far = replace(SPLIT, margin_pruned=-9.0)
    assert formats_sentence(far, FLOOR) == ""
    assert formats_sentence(replace(SPLIT, verdict=None), FLOOR) == ""


def test_the_floor_and_what_was_left_out() -> None:
    assert noise_sentence(FLOOR).endswith("at 48 positions. In float32 a KL up to 3e-11 says nothing about pruning.")
    assert noise_sentence(replace(FLOOR, rows=(), steps=1)).endswith("at one position. In float32 nothing moves.")
    assert skipped_sentence("2 threads", "it is busy.") == "Not measured: 2 threads, because it is busy."
