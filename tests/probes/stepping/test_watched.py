"""The figures of watched groups agree with their definitions in higher precision, on ordinary and on extreme logits."""

from __future__ import annotations

import math
from decimal import Decimal, getcontext

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.schema.record import Watched
from probes.schema.settings import Follow, RunSettings
from probes.schema.watch import WatchedGroup, WatchedIds
from probes.stepping.distribution import Distribution
from probes.stepping.lockstep import Lockstep
from probes.stepping.spaces import compare
from probes.stepping.sums import LOOKED_UP
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import ARCHITECTURES, tiny

WIDE = 3 * LOOKED_UP
GROUPS = (WatchedIds("A", (5, 40)), WatchedIds("B", (6,)), WatchedIds("[C]", (WIDE - 1, 0, 17)))


def watched(z, z2, groups=GROUPS, temperature=1.0) -> Watched:
    hidden = torch.ones(1, 4)
    pair = (Distribution(torch.as_tensor(np.asarray(values))[None], temperature) for values in (z, z2))
    (found,) = compare(hidden, hidden, *pair, top=3, watched=groups)
    assert found.watched is not None
    return found.watched


def by_definition(z, groups, temperature) -> tuple[list[Decimal], list[int]]:
    """Each group's probability with 60 digits, and the rank of its likeliest token."""
    getcontext().prec = 60
    weights = [(Decimal(float(value)) / Decimal(temperature)).exp() for value in z]
    total = sum(weights)
    order = sorted(range(len(z)), key=lambda token: (-z[token], token))
    probabilities = [sum(weights[token] for token in group.ids) / total for group in groups]
    return probabilities, [1 + min(order.index(token) for token in group.ids) for group in groups]


@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.01, 1.0, 30.0, 900.0]),
    damage=st.sampled_from([0.0, 0.1, 3.0]),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
)
@settings(max_examples=30, deadline=None)
def test_every_figure_agrees_with_its_definition(seed, spread, damage, temperature):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=WIDE) * spread
    z2 = z + damage * rng.normal(size=WIDE) * spread
    found = watched(z, z2, temperature=temperature)
    (p, ranks), (q, ranks2) = (by_definition(values, GROUPS, temperature) for values in (z, z2))
    p_hat, q_hat = ([value / sum(values) for value in values] for values in (p, q))
    assert [group.p for group in found.groups] == pytest.approx(list(map(float, p)), rel=1e-9, abs=1e-15)
    assert [group.q for group in found.groups] == pytest.approx(list(map(float, q)), rel=1e-9, abs=1e-15)
    assert [group.share_dense for group in found.groups] == pytest.approx(list(map(float, p_hat)), rel=1e-9, abs=1e-15)
    assert [group.share_pruned for group in found.groups] == pytest.approx(list(map(float, q_hat)), rel=1e-9, abs=1e-15)
    assert (found.mass_dense, found.mass_pruned) == pytest.approx((float(sum(p)), float(sum(q))), rel=1e-9, abs=1e-15)
    kl = sum(a * (a / b).ln() for a, b in zip(p_hat, q_hat, strict=True))
    reverse = sum(b * (b / a).ln() for a, b in zip(p_hat, q_hat, strict=True))
    assert (found.kl, found.kl_reverse) == pytest.approx((float(kl), float(reverse)), rel=1e-9, abs=1e-13)
    dot = sum(a * b for a, b in zip(p_hat, q_hat, strict=True))
    lengths = (sum(a * a for a in p_hat) * sum(b * b for b in q_hat)).sqrt()
    assert found.cos == pytest.approx(float(dot / lengths), rel=1e-9, abs=1e-13)
    assert [(group.rank_dense, group.rank_pruned) for group in found.groups] == list(zip(ranks, ranks2, strict=True))
    assert [(group.label, group.tokens) for group in found.groups] == [(group.label, group.ids) for group in GROUPS]


def test_two_groups_in_closed_form():
    z, z2 = [math.log(value) for value in (1, 2, 5)], [math.log(value) for value in (3, 1, 4)]
    found = watched(z, z2, (WatchedIds("a", (0,)), WatchedIds("b", (1,))))
    assert (found.mass_dense, found.mass_pruned) == pytest.approx((3 / 8, 1 / 2))
    assert [group.share_pruned for group in found.groups] == pytest.approx([3 / 4, 1 / 4])
    assert found.kl == pytest.approx(math.log(4 / 9) / 3 + 2 * math.log(8 / 3) / 3)
    assert found.cos == pytest.approx((1 * 3 + 2 * 1) / math.sqrt(5 * 10))
    assert [(group.rank_dense, group.rank_pruned) for group in found.groups] == [(3, 2), (2, 3)]


def test_groups_whose_probabilities_underflow_still_have_shares():
    z = np.zeros(WIDE)
    z[9], z[5], z[6] = 5000.0, 1.0, 2.0
    found = watched(z, z, (WatchedIds("a", (5,)), WatchedIds("b", (6,))))
    assert found.mass_dense == 0.0
    assert [group.share_dense for group in found.groups] == pytest.approx([1 / (1 + math.e), math.e / (1 + math.e)])
    assert found.kl == 0.0


def test_one_group_alone_has_probabilities_and_nothing_to_compare_them_with():
    z = np.linspace(0, 3, WIDE)
    found = watched(z, z[::-1].copy(), (WatchedIds("a", (5,)),))
    assert found.groups[0].share_dense == found.groups[0].share_pruned == 1.0
    assert (found.kl, found.kl_reverse, found.cos) == (None, None, None)
    assert found.groups[0].rank_dense == WIDE - 5


def test_of_equal_logits_the_smaller_id_ranks_first_also_where_all_are_equal():
    found = watched(np.zeros(WIDE), np.zeros(WIDE))
    assert [group.rank_dense for group in found.groups] == [6, 7, 1]


TWO = (WatchedGroup("A", (5, 9)), WatchedGroup("B", (6,)))


def both(dense, pruned, follow=Follow.DENSE, watch=TWO) -> Lockstep:
    ids = tuple(WatchedIds(group.label, tuple(map(int, group.forms))) for group in watch)
    return Lockstep(dense, pruned, Words(), PROMPT, RunSettings("p", follow=follow, steps=8, watch=watch), watched=ids)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_an_exact_copy_gives_equal_probabilities_and_no_divergence(architecture):
    torch.manual_seed(0)
    model = tiny(architecture)
    with both(model, model, Follow.FREE) as lockstep:
        found = [record.own.watched for record in lockstep]
    assert all(one.kl == one.kl_reverse == 0.0 and one.cos == 1.0 for one in found)
    assert all(one.mass_dense == one.mass_pruned for one in found)
    assert all(group.p == group.q and group.rank_dense == group.rank_pruned for one in found for group in one.groups)


@pytest.mark.parametrize("follow", [Follow.DENSE, Follow.FREE])
def test_each_context_is_watched_and_nothing_else_changes(follow):
    torch.manual_seed(0)
    model = tiny("llama")
    other = damaged(model)
    with both(model, other, follow) as lockstep, both(model, other, follow, ()) as plain:
        path, without = list(lockstep), list(plain)
    diverged = False
    for record, bare in zip(path, without, strict=True):
        assert (record.own.p, record.sum, record.taken) == (bare.own.p, bare.sum, bare.taken)
        assert bare.own.watched is None
        assert [group.label for group in record.shared.watched.groups] == ["A", "B"]
        rows = {token.token_id: token for token in record.own.top}
        for group in record.own.watched.groups:
            if set(group.tokens) <= rows.keys():
                assert group.q == pytest.approx(sum(rows[token].q for token in group.tokens))
        diverged |= record.own.watched != record.shared.watched
    assert diverged == (follow is Follow.FREE)


def test_settings_that_watch_tokens_need_their_ids():
    model = tiny("llama")
    with pytest.raises(ValueError, match="not given"):
        Lockstep(model, model, Words(), PROMPT, RunSettings("p", watch=TWO))
