"""Sums with errors, quantiles in bounded memory, and kinds of tokens."""

from __future__ import annotations

import math

import numpy as np
import pytest

from probes.schema.score import QUANTILES
from probes.tasks import quantiles as module
from probes.tasks.quantiles import ERROR, Quantiles
from probes.tasks.score_tally import ClusteredSums
from probes.tasks.token_kinds import KINDS, TokenKinds
from tests.support.tiny import byte_tokenizer, metaspace_tokenizer


def test_errors_of_a_mean_by_window_against_the_formulas_written_out() -> None:
    generator = np.random.default_rng(0)
    values = 5e5 + generator.normal(size=200) + np.repeat(generator.normal(size=20), 10)
    windows = np.repeat(np.arange(20), 10)
    sums = ClusteredSums(2)
    for start in range(0, 200, 50):
        part = slice(start, start + 50)
        sums.add(1, values[part], windows[part] - windows[start], 5)
    found = sums.estimate(1)
    means = values.reshape(20, 10).mean(1)
    assert found.mean == pytest.approx(values.mean(), rel=1e-14)
    assert found.se_naive == pytest.approx(values.std(ddof=1) / math.sqrt(200), rel=1e-9)
    assert found.se == pytest.approx(means.std(ddof=1) / math.sqrt(20), rel=1e-9)
    assert found.se > 2 * found.se_naive
    assert sums.estimate(0).se is None


def test_equal_values_have_no_error_at_all() -> None:
    sums = ClusteredSums(1)
    sums.add(0, np.full(12, 1.44), np.repeat(np.arange(4), 3), 4)
    assert (sums.estimate(0).mean, sums.estimate(0).se, sums.estimate(0).se_naive) == (1.44, 0, 0)


@pytest.mark.parametrize("signed", [False, True])
def test_quantiles_of_more_values_than_are_kept_are_within_their_error(
    signed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = np.exp(np.random.default_rng(1).normal(-3, 3, 30_001))
    if signed:
        values[::3] *= -1
    exact, binned = Quantiles(), Quantiles()
    for part in np.array_split(values, 7):
        exact.add(part)
    monkeypatch.setattr(module, "EXACT", 1000)
    for part in np.array_split(values, 7):
        binned.add(part)
    assert exact.spread().quantiles == pytest.approx(np.quantile(values, QUANTILES))
    found = binned.spread()
    assert (found.min, found.max, found.error) == (values.min(), values.max(), ERROR)
    near = np.quantile(values, QUANTILES, method="lower")
    assert found.quantiles == pytest.approx(near, rel=ERROR)
    assert len(binned.state()["kept"]) == 0

    again = Quantiles()
    again.restore(binned.state())
    assert again.spread() == found


def test_zeros_stay_zero_in_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXACT", 10)
    found = Quantiles()
    found.add(np.zeros(50))
    assert set(found.spread().quantiles) == {0.0}


def kinds(tokenizer, text: str) -> list[tuple[str, str]]:
    ids = [0, *tokenizer(text, add_special_tokens=False)["input_ids"]]
    found = TokenKinds(tokenizer).of(ids, 1)
    return [(tokenizer.decode([token]), KINDS[kind]) for token, kind in zip(ids[1:], found, strict=True)]


def test_tokens_are_sorted_by_kind() -> None:
    found = kinds(byte_tokenizer(), "sing the é 4,\n<|user|>")
    assert found[:2] == [("s", "word start"), ("ing", "word continuation")]
    assert found[2] == (" the", "word start")
    assert found[3] == (" ", "whitespace")
    assert [kind for _, kind in found[4:6]] == ["part of a character"] * 2
    assert [kind for _, kind in found[6:]] == ["whitespace", "number", "punctuation", "whitespace", "special"]


def test_tokens_of_characters_are_sorted_by_kind_too() -> None:
    found = kinds(metaspace_tokenizer(), "the cat!")
    assert [kind for _, kind in found] == ["word start", "word start", "punctuation"]
