"""Ranges in the grammar of settings: what they give, where their mistakes are, and how they are written again."""

from __future__ import annotations

from itertools import product

import pytest

from probes.schema.prune_setting import BadSetting
from probes.sweep.settings import swept_settings, written_settings


def texts(text: str) -> list[str]:
    return [str(one.setting) for one in swept_settings(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wanda:{0.1..0.7/0.1}", [f"wanda:0.{n}" for n in range(1, 8)]),
        ("drop-attn:{1..8}", [f"drop-attn:{n}" for n in range(1, 9)]),
        ("drop-attn:{2..8/3}", ["drop-attn:2", "drop-attn:5", "drop-attn:8"]),
        ("magnitude:{0.3, 0.5,2:4}", ["magnitude:0.3", "magnitude:0.5", "magnitude:2:4"]),
        ("wanda:{10..30/10}%", ["wanda:0.1", "wanda:0.2", "wanda:0.3"]),
        ("sparsegpt:owl={0.5..0.6/0.1}@mlp", ["sparsegpt:owl=0.5@mlp", "sparsegpt:owl=0.6@mlp"]),
        ("wanda:0.5@layers={3..5}", [f"wanda:0.5@layers={n}" for n in (3, 4, 5)]),
        ("wanda:0.5@{attn,mlp}", ["wanda:0.5@attn", "wanda:0.5@mlp"]),
        ("{wanda,magnitude}:0.5", ["wanda:0.5", "magnitude:0.5"]),
        ("drop-attn@layers=20,22,wanda:0.5", ["drop-attn@layers=20,22", "wanda:0.5"]),
        ("wanda:0.5@name=up_proj,down_proj, drop-mlp:2", ["wanda:0.5@name=down_proj,up_proj", "drop-mlp:2"]),
        ('magnitude:table="a{b}.txt"', ['magnitude:table="a{b}.txt"']),
        ("wanda:{0.5..0.5/0.1}", ["wanda:0.5"]),
    ],
)
def test_braces_are_every_value_both_ends_included(text: str, expected: list[str]) -> None:
    assert texts(text) == expected


def test_several_braces_are_every_combination_the_last_one_fastest() -> None:
    expected = [f"magnitude:0.{m}+drop-attn:{n}" for m, n in product((1, 2, 3), (1, 2))]
    assert texts("magnitude:{0.1..0.3/0.1}+drop-attn:{1..2}") == expected


def test_decimals_are_exact() -> None:
    assert texts("wanda:{0.01..0.99/0.01}") == [f"wanda:{n / 100:g}" for n in range(1, 100)]


@pytest.mark.parametrize(
    ("text", "families"),
    [
        ("wanda:{0.3,2:4}", [("wanda:{}", 0.3), ("wanda:{}", 0.5)]),
        ("wanda:0.3", [("wanda:{}", 0.3)]),
        ("drop-attn:{1,2}@layers=8-29", [("drop-attn:{}@layers=8-29", 1), ("drop-attn:{}@layers=8-29", 2)]),
        ("drop-attn@layers=3", [("drop-attn@layers=3", None)]),
        ("wanda:{0.3}+drop-attn:2", [("wanda:{}+drop-attn:2", 0.3)]),
        ("wanda:0.3+drop-attn:2", [("wanda:0.3+drop-attn:{}", 2)]),
        ("magnitude:{0.1,0.2}+drop-attn:{1}", [("magnitude:0.1+drop-attn:{}", 1), ("magnitude:0.2+drop-attn:{}", 1)]),
        ("sparsegpt:owl={0.5}", [("sparsegpt:owl={}", 0.5)]),
        ("wanda:0.5@layers={3..4}", [("wanda:0.5@layers={}", 3), ("wanda:0.5@layers={}", 4)]),
        ("wanda:{0.5}@{attn,mlp}", [("wanda:{}@attn", 0.5), ("wanda:{}@mlp", 0.5)]),
        ("restore:{0.01}@file=f.json", [("restore:{}@file=f.json", 0.01)]),
        ("{wanda,magnitude}:0.5", [("wanda:{}", 0.5), ("magnitude:{}", 0.5)]),
    ],
)
def test_each_setting_knows_its_curve_and_its_place_there(text: str, families: list[tuple[str, float | None]]) -> None:
    found = swept_settings(text)
    assert [(one.family, one.amount) for one in found] == families
    assert swept_settings(",".join(written_settings(found))) == found


@pytest.mark.parametrize(
    ("text", "fault", "reason"),
    [
        ("wanda:{0.1..0.7}", "{0.1..0.7}", "The step is missing"),
        ("wanda:{0.1..0.7/0}", "{0.1..0.7/0}", "A step of 0"),
        ("wanda:{0.7..0.1/0.1}", "{0.7..0.1/0.1}", "The end 0.1 is below the start 0.7"),
        ("wanda:{0.1..0.75/0.1}", "{0.1..0.75/0.1}", "do not reach 0.75: the last one is 0.7"),
        ("magnitude:0.1+wanda:{..}", "{..}", "A number is missing"),
        ("wanda:{0.1,}", "{0.1,}", "A value is missing"),
        ("wanda:{}", "{}", "A value is missing"),
        ("wanda:{a..b}", "{a..b}", "'a' is not a number"),
        ("drop-attn:{1..9999}", "{1..9999}", "9,999 settings"),
        ("wanda:{0.1..0.9/0.1}@layers={1..999}", "{1..999}", "8,991 settings"),
        ("wanda:{0.1", "{", "This brace has no other one"),
        ("wanda:0.1}", "}", "This brace has no other one"),
    ],
)
def test_a_mistake_is_pointed_at(text: str, fault: str, reason: str) -> None:
    with pytest.raises(BadSetting) as raised:
        swept_settings(text)
    problem = raised.value
    assert reason in problem.message
    assert (problem.text, problem.text[problem.start : problem.end]) == (text, fault)


def test_a_value_that_is_no_amount_is_pointed_at_in_its_setting() -> None:
    with pytest.raises(BadSetting) as raised:
        swept_settings("wanda:{0.9..1.2/0.1}")
    assert (raised.value.text, raised.value.message) == ("wanda:1.1", "1.1 is not a ratio between 0 and 1.")
