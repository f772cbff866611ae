"""The sampler draws from the distribution it is given, and couples two of them by shared noise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from probes.schema.errors import BadInput
from probes.schema.settings import Sampling
from probes.stepping.sampling import Sampler, gumbel

LOGITS = torch.tensor([2.0, 1.0, 0.5, 0.0, -1.0, -3.0])


def draw(sampling: Sampling, count: int, logits: torch.Tensor = LOGITS) -> np.ndarray:
    sampler = Sampler(sampling)
    return np.array([sampler.choose(logits, step) for step in range(1, count + 1)])


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_marginals_are_the_distribution(temperature: float) -> None:
    draws = draw(Sampling(temperature=temperature, seed=11), 6_000)
    expected = (LOGITS / temperature).double().softmax(0).numpy() * len(draws)
    assert chisquare(np.bincount(draws, minlength=6), expected).pvalue > 1e-3


def test_a_wrong_distribution_would_be_noticed() -> None:
    draws = draw(Sampling(temperature=1.0, seed=11), 6_000)
    wrong = (LOGITS / 1.1).double().softmax(0).numpy() * len(draws)
    assert chisquare(np.bincount(draws, minlength=6), wrong).pvalue < 1e-3


def test_top_k_and_top_p_cut_the_tail_and_keep_the_proportions() -> None:
    draws = draw(Sampling(temperature=1.0, top_k=3, seed=1), 4_000)
    kept = LOGITS[:3].double().softmax(0).numpy() * len(draws)
    assert set(draws) == {0, 1, 2}
    assert chisquare(np.bincount(draws, minlength=3), kept).pvalue > 1e-3
    assert set(draw(Sampling(temperature=1.0, top_p=0.6, seed=1), 300)) == {0, 1}


def test_two_models_agree_at_least_as_often_as_gumbel_coupling_promises() -> None:
    """P(agree) = Σ_i 1 / Σ_j max(p_j/p_i, q_j/q_i), and it is well above that of independent draws."""
    other = LOGITS + torch.tensor([0.0, 0.8, -0.5, 0.4, 0.0, 1.0])
    a = draw(Sampling(temperature=1.0, seed=3), 6_000)
    b = draw(Sampling(temperature=1.0, seed=3), 6_000, other)
    p, q = LOGITS.double().softmax(0).numpy(), other.double().softmax(0).numpy()
    promised = sum(1 / np.maximum(p / p[i], q / q[i]).sum() for i in range(6))
    assert (a == b).mean() == pytest.approx(promised, abs=4 * np.sqrt(promised * (1 - promised) / len(a)))
    assert promised > p @ q + 0.2


def test_equal_logits_give_equal_tokens_whichever_model_asks() -> None:
    one, two = Sampler(Sampling(temperature=1.0, seed=9)), Sampler(Sampling(temperature=1.0, seed=9))
    assert [one.choose(LOGITS, s) for s in range(1, 60)] == [two.choose(LOGITS.clone(), s) for s in range(1, 60)]


def test_noise_depends_on_seed_and_step_alone() -> None:
    again = [gumbel(5, 3, 50), gumbel(5, 4, 50), gumbel(6, 3, 50), gumbel(5, 3, 50)]
    assert torch.equal(again[0], again[3])
    assert not torch.equal(again[0], again[1])
    assert not torch.equal(again[0], again[2])
    assert float(gumbel(1, 1, 100_000).mean()) == pytest.approx(0.5772, abs=0.02)


def test_greedy_takes_the_largest_and_needs_no_noise() -> None:
    assert set(draw(Sampling(), 20)) == {0}
    assert set(draw(Sampling(), 20, -LOGITS)) == {5}


@pytest.mark.parametrize(
    "wrong",
    [{"temperature": -1}, {"temperature": float("nan")}, {"top_k": -1}, {"top_p": 0}, {"top_p": 1.2}, {"seed": -1}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadInput):
        Sampling(**wrong)


def test_of_equally_likely_tokens_the_first_is_the_greedy_choice() -> None:
    assert Sampler(Sampling(temperature=0)).choose(torch.tensor([0.0, 2.0, 1.0, 2.0]), 1) == 1
