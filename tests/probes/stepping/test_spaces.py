"""Every figure agrees with a float64 evaluation of its formula, on ordinary and on extreme inputs."""

from __future__ import annotations

import math
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from torch.utils._python_dispatch import TorchDispatchMode

from probes.schema.record import Comparison
from probes.schema.settings import Sampling
from probes.stepping.distribution import Distribution
from probes.stepping.sampling import Sampler
from probes.stepping.spaces import compare, compare_logits
from probes.stepping.sums import LOOKED_UP, new_scratch
from tests.support.formulas import assert_agrees, reference
from tests.support.stepping import ONES, ZEROS


def figures(h, h2, z, z2, temperature=1.0, top=5) -> Comparison:
    as_tensor = [torch.tensor(np.asarray(v), dtype=torch.float32) for v in (h, h2, z, z2)]
    a, b, c, d = as_tensor
    return compared(a, b, of(c, temperature), of(d, temperature), top=top)


def of(logits, temperature=1.0) -> Distribution:
    """The distribution at a single position."""
    return Distribution(torch.as_tensor(np.asarray(logits) if isinstance(logits, list) else logits)[None], temperature)


def compared(hidden, hidden_pruned, dense, pruned, **options) -> Comparison:
    """The comparison of a single position."""
    (found,) = compare(hidden[None], hidden_pruned[None], dense, pruned, **options)
    return found


WIDE = 97


@given(
    seed=st.integers(0, 2**32 - 1),
    spread=st.sampled_from([0.01, 1.0, 10.0, 100.0]),
    damage=st.sampled_from([1e-4, 0.1, 3.0]),
    shift=st.sampled_from([0.0, 50.0, -200.0]),
    temperature=st.sampled_from([0.3, 1.0, 2.5]),
)
@settings(max_examples=120, deadline=None)
def test_every_figure_agrees_with_its_formula_on_random_inputs(seed, spread, damage, shift, temperature):
    rng = np.random.default_rng(seed)
    h, z = rng.normal(size=24), rng.normal(size=WIDE) * spread
    h2, z2 = h + damage * rng.normal(size=24), z + damage * rng.normal(size=WIDE) + shift
    assert_agrees(figures(h, h2, z, z2, temperature), reference(h, h2, z, z2, temperature))


@pytest.mark.parametrize(
    ("z", "z2"),
    [
        (np.eye(1, WIDE, 3)[0] * 1e4, np.eye(1, WIDE, 3)[0] * 1e4 * 0.9),
        (np.eye(1, WIDE, 3)[0] * 1e4, np.eye(1, WIDE, 7)[0] * 1e4),
        (np.linspace(-1e4, 1e4, WIDE), np.linspace(1e4, -1e4, WIDE)),
        (np.linspace(-1e4, 1e4, WIDE), np.linspace(-1e4, 1e4, WIDE) + 1.0),
        (np.eye(1, WIDE, 3)[0] * 60, np.eye(1, WIDE, 7)[0] * 60),
    ],
    ids=["one-hot, same", "one-hot, other", "reversed", "shifted", "one-hot, mild"],
)
def test_every_figure_agrees_with_its_formula_on_extreme_logits(z, z2):
    h = np.linspace(-1e4, 1e4, 24)
    assert_agrees(figures(h, h[::-1] + 3, z, z2), reference(h, h[::-1] + 3, z, z2))


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("height", [1e4, 1e12, 3e38])
def test_a_huge_logit_hides_none_of_the_other_models(height: float, temperature: float) -> None:
    rng = np.random.default_rng(11)
    ordinary, peak = (rng.normal(size=WIDE) * 4).astype(np.float32), np.zeros(WIDE)
    peak[3] = height
    log_p = torch.from_numpy(ordinary).double().div(temperature).log_softmax(0)
    found = figures([1], [1], peak, ordinary, temperature).p
    assert found.kl == pytest.approx(-float(log_p[3]), rel=1e-12)
    assert figures([1], [1], ordinary, peak, temperature).p.kl_reverse == pytest.approx(found.kl, rel=1e-12)
    assert found.entropy_pruned == pytest.approx(-float(log_p.exp().dot(log_p)), rel=1e-9)


def test_a_divergence_is_not_capped():
    z, z2 = np.zeros(WIDE), np.zeros(WIDE)
    z[3], z2[7] = 1e4, 1e4
    assert figures([1, 2], [1, 3], z, z2).p.kl == pytest.approx(1e4)


def test_equal_inputs_give_exactly_nothing():
    rng = np.random.default_rng(5)
    h, z = rng.normal(size=24) * 7, rng.normal(size=WIDE) * 9
    same = figures(h, h, z, z)
    assert (same.h.cos, same.h.angle, same.h.length_ratio, same.h.parallel, same.h.orthogonal) == (1, 0, 1, 0, 0)
    assert (same.z.cos, same.z.cos_centred) == (1, 1)
    assert (same.z.l2, same.z.rms, same.z.rms_centred, same.z.mean_abs, same.z.max_abs, same.z.top5_rms) == (0,) * 6
    p = same.p
    assert (p.kl, p.kl_reverse, p.js, p.tv, p.kl_estimate, p.cos_estimate) == (0,) * 6
    zeros = [p.kl, p.kl_reverse, p.js, p.entropy_dense, *(row.kl_share for row in same.top)]
    assert all(math.copysign(1, zero) == 1 for zero in zeros)
    assert (p.cos, p.rank_dense_in_pruned, p.rank_pruned_in_dense, p.topk_overlap) == (1, 1, 1, 1)
    assert all(row.p == row.q and row.kl_share == 0 and row.rank_dense == row.rank_pruned for row in same.top)


def test_a_constant_added_to_all_logits_moves_only_the_raw_figures():
    rng = np.random.default_rng(6)
    z = (rng.normal(size=WIDE) * 3).astype(np.float32)
    moved = figures([1, 2], [1, 2], z, z.astype(np.float64) + 64)
    assert moved.z.cos < 0.9
    assert moved.z.rms == pytest.approx(64, rel=1e-5)
    assert moved.z.cos_centred == pytest.approx(1, abs=1e-10)
    assert moved.z.rms_centred < 1e-5
    assert moved.p.kl < 1e-10


def test_small_changes_follow_the_theorems():
    rng = np.random.default_rng(7)
    h, z = rng.normal(size=64), rng.normal(size=WIDE) * 2
    small = figures(h, h + 1e-3 * rng.normal(size=64), z, z + 1e-3 * rng.normal(size=WIDE), temperature=1.7)
    assert small.h.cos_estimate == pytest.approx(1 - small.h.cos, rel=0.01)
    assert small.p.kl_estimate == pytest.approx(small.p.kl, rel=0.01)
    assert small.p.cos_estimate == pytest.approx(1 - small.p.cos, rel=0.01)


def test_known_divergences_of_two_coins():
    z, z2 = np.log([0.5, 0.5]), np.log([0.9, 0.1])
    coin = figures([1, 0], [0, 1], z, z2, top=2)
    assert coin.p.kl == pytest.approx(0.5 * math.log(0.5 / 0.9) + 0.5 * math.log(0.5 / 0.1), rel=1e-6)
    assert coin.p.kl_reverse == pytest.approx(0.9 * math.log(0.9 / 0.5) + 0.1 * math.log(0.1 / 0.5), rel=1e-6)
    assert coin.p.tv == pytest.approx(0.4, rel=1e-6)
    assert coin.p.entropy_dense == pytest.approx(math.log(2), rel=1e-6)
    assert (coin.h.cos, coin.h.angle) == (pytest.approx(0, abs=1e-12), pytest.approx(90))


def test_the_table_is_the_union_of_both_top_k_with_ranks_and_shares():
    z = np.arange(10.0)
    z2 = z[::-1].copy()
    row = figures([1], [1], z, z2, top=2)
    assert {t.token_id for t in row.top} == {9, 8, 0, 1}
    assert [max(t.p, t.q) for t in row.top] == sorted((max(t.p, t.q) for t in row.top), reverse=True)
    by_id = {t.token_id: t for t in row.top}
    assert (by_id[9].rank_dense, by_id[9].rank_pruned) == (1, 10)
    assert (by_id[0].rank_dense, by_id[0].rank_pruned) == (10, 1)
    assert row.p.rank_dense_in_pruned == 10
    assert row.p.rank_pruned_in_dense == 10
    assert row.p.topk_overlap == 0
    everything = figures([1], [1], z, z2, top=10)
    assert sum(t.kl_share for t in everything.top) == pytest.approx(1)


@pytest.mark.parametrize("levels", [1, 3, 40])
@pytest.mark.parametrize("size", [7, LOOKED_UP, LOOKED_UP + 1, 700])
@pytest.mark.parametrize("top", [1, 5, LOOKED_UP + 20])
def test_of_equal_logits_the_smaller_id_is_first_everywhere(size: int, levels: int, top: int) -> None:
    rng = np.random.default_rng(size + levels)
    z, z2 = (rng.integers(levels, size=size).astype(np.float32) / 4 for _ in range(2))
    found = figures([1], [1], z, z2, top=top)
    order, order2 = (np.lexsort((np.arange(size), -logits)).tolist() for logits in (z, z2))
    assert {row.token_id for row in found.top} == {*order[:top], *order2[:top]}
    for row in found.top:
        assert row.rank_dense == 1 + order.index(row.token_id)
        assert row.rank_pruned == 1 + order2.index(row.token_id)
    sizes = [(-max(row.p, row.q), row.token_id) for row in found.top]
    assert sizes == sorted(sizes)
    k = min(top, size)
    assert found.p.topk_overlap == len({*order[:k]} & {*order2[:k]}) / k
    assert found.p.rank_dense_in_pruned == 1 + order2.index(order[0])
    assert found.p.rank_pruned_in_dense == 1 + order.index(order2[0])
    for logits, first in ((z, order[0]), (z2, order2[0])):
        distribution = of(torch.tensor(logits))
        assert int(distribution.first) == Sampler(Sampling()).choose(distribution.z[0], 1) == first
        assert distribution.tied == ((logits == logits.max()).sum() > 1)


def test_ranks_far_down_a_large_vocabulary_are_counted() -> None:
    rng = np.random.default_rng(9)
    z, z2 = (rng.permutation(5000).astype(np.float32) / 100 for _ in range(2))
    found = figures([1], [1], z, z2, top=10)
    for row in found.top:
        assert row.rank_dense == 1 + (z > z[row.token_id]).sum()
        assert row.rank_pruned == 1 + (z2 > z2[row.token_id]).sum()
    assert found.p.rank_dense_in_pruned == 1 + (z2 > z2[z.argmax()]).sum()
    assert found.p.rank_pruned_in_dense == 1 + (z > z[z2.argmax()]).sum()
    assert max(row.rank_pruned for row in found.top) > LOOKED_UP


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_floating_dtype_is_taken_as_it_is(dtype):
    torch.manual_seed(0)
    z, z2, h = torch.randn(WIDE).to(dtype), torch.randn(WIDE).to(dtype), torch.randn(8).to(dtype)
    got = compared(h, h, of(z), of(z2))
    p, q = z.double().softmax(0), z2.double().softmax(0)
    assert got.p.kl == pytest.approx(float((p * (p / q).log()).sum()), rel=1e-9)
    assert got.h.cos == 1


@pytest.mark.parametrize("angle", [0.0, 1e-7, 1e-4, 1.0, math.pi / 2, 3.0, math.pi])
@pytest.mark.parametrize("length", [1e-20, 1.0, 1e20])
def test_a_cosine_keeps_its_digits_near_one_and_never_leaves_its_range(angle: float, length: float) -> None:
    rng = np.random.default_rng(3)
    basis, _ = np.linalg.qr(rng.normal(size=(WIDE, 2)))
    v = basis[:, 0].copy()
    turned = length * (math.cos(angle) * v + math.sin(angle) * basis[:, 1])
    z = of(torch.zeros(4))
    found = compared(torch.from_numpy(v), torch.from_numpy(turned), z, z).h
    assert -1 <= found.cos <= 1
    assert 1 - found.cos == pytest.approx(2 * math.sin(angle / 2) ** 2, rel=1e-6, abs=2.3e-16)
    assert found.length_ratio == pytest.approx(length)


def test_a_cosine_is_undefined_beside_nothing_and_one_between_two_nothings() -> None:
    z, one, none = of(torch.zeros(4)), torch.ones(3), torch.zeros(3)
    assert math.isnan(compared(one, none, z, z).h.cos)
    assert math.isnan(compared(none, one, z, z).h.cos)
    assert compared(none, none, z, z).h.cos == 1


def test_an_angle_is_undefined_beside_nothing() -> None:
    z, one, none = of(torch.zeros(4)), torch.ones(3), torch.zeros(3)
    assert all(math.isnan(compared(*pair, z, z).h.angle) for pair in ((one, none), (none, one), (none, none)))


def test_the_change_of_the_five_largest_logits_may_be_huge() -> None:
    z, h = torch.zeros(WIDE, dtype=torch.float64), torch.ones(2)
    assert compared(h, h, of(z), of(z + 1.3e154)).z.top5_rms == pytest.approx(1.3e154)


def test_what_lies_in_the_scratch_changes_nothing() -> None:
    torch.manual_seed(1)
    h, h2, z, z2 = torch.randn(8), torch.randn(8), of(torch.randn(WIDE)), of(torch.randn(WIDE))
    kept = [tensor.clone() for tensor in (z.z, z.p, z2.z, z2.p)]
    scratch = new_scratch(z).fill_(math.nan)
    found = [compared(h, h2, z, z2, scratch=scratch), compared(h, h2, z, z2, scratch=scratch), compared(h, h2, z, z2)]
    assert found[0] == found[1] == found[2]
    assert all(map(torch.equal, kept, (z.z, z.p, z2.z, z2.p)))


def positions() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(7)
    logits = np.array(
        [rng.normal(size=(2, 900)), rng.integers(3, size=(2, 900)), [rng.permutation(900) for _ in range(2)]]
    )
    z, z2 = torch.tensor(logits).float().unbind(1)
    return torch.tensor(rng.normal(size=(3, 16))), torch.tensor(rng.normal(size=(3, 16))), z, z2


def assert_same(one: Comparison, other: Comparison) -> None:
    """But for rounding: a sum over several positions may add in another order than one over a single position."""
    assert [structs.replace(row, p=0, q=0, kl_share=0) for row in one.top] == [
        structs.replace(row, p=0, q=0, kl_share=0) for row in other.top
    ]
    for group in ("h", "z", "p"):
        figures, others = (asdict(getattr(each, group)) for each in (one, other))
        assert figures == pytest.approx(others, rel=1e-10, abs=1e-12)
    for row, again in zip(one.top, other.top, strict=True):
        assert (row.p, row.q, row.kl_share) == pytest.approx((again.p, again.q, again.kl_share), rel=1e-10, abs=1e-12)


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_positions_compared_together_give_what_each_gives_alone(temperature: float) -> None:
    """Among them one whose equal logits are more than are looked up, and one whose ranks have to be counted."""
    h, h2, z, z2 = positions()
    dense, pruned = Distribution(z, temperature), Distribution(z2, temperature)
    together = compare(h, h2, dense, pruned, top=6)
    alone = [compared(h[i], h2[i], of(z[i], temperature), of(z2[i], temperature), top=6) for i in range(len(z))]
    for one, other in zip(together, alone, strict=True):
        assert_same(one, other)
    for at_once in (1, 2, 8):
        scratch = torch.full((3, at_once, z.shape[1]), math.nan, dtype=torch.float64)
        for one, other in zip(compare(h, h2, dense, pruned, top=6, scratch=scratch), alone, strict=True):
            assert_same(one, other)
    assert compare(h[:0], h2[:0], Distribution(z[:0]), Distribution(z2[:0])) == []


def test_the_device_is_waited_for_once_for_all_positions(monkeypatch: pytest.MonkeyPatch) -> None:
    waits = []
    tolist = torch.Tensor.tolist
    monkeypatch.setattr(torch.Tensor, "tolist", lambda tensor: waits.append(tensor.numel()) or tolist(tensor))
    for name in ("item", "__bool__", "__int__", "__float__"):
        monkeypatch.setattr(torch.Tensor, name, lambda *_, name=name: pytest.fail(f"waits in {name}"))
    distribution = Distribution(torch.arange(500.0).repeat(3, 1))
    compare(torch.ones(3, 8), torch.ones(3, 8), distribution, distribution)
    assert len(waits) == 1


def test_more_positions_take_no_more_operations_of_a_device() -> None:
    """They are measured at once if there is memory for it, as there is on a GPU."""

    def operations(count: int) -> int:
        torch.manual_seed(0)
        h, z = torch.randn(count, 8), Distribution(torch.randn(count, 100))
        with CountedOperations() as counted:
            compare(h, h, z, z, scratch=torch.empty(3, count, 100, dtype=torch.float64))
        return counted.count

    assert operations(1) == operations(7)


class CountedOperations(TorchDispatchMode):
    """Counts what torch does meanwhile."""

    count = 0

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        self.count += 1
        return operation(*args, **kwargs or {})


class SeenMemory(TorchDispatchMode):
    """Notes the memory that results lie in, by its address."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[int, int] = {}

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        result = operation(*args, **kwargs or {})
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                self.seen[storage.data_ptr()] = storage.nbytes()
        return result


def test_with_a_scratch_on_the_cpu_no_vector_of_the_vocabulary_takes_new_memory() -> None:
    z, z2 = Distribution(torch.randn(2, 50_000)), Distribution(torch.randn(2, 50_000))
    h, scratch = torch.randn(2, 8), new_scratch(z, 2)
    assert scratch.shape == (3, 1, 50_000)
    with SeenMemory() as memory:
        compare(h, h, z, z2, scratch=scratch)
    known = {tensor.untyped_storage().data_ptr() for tensor in (scratch, z.z, z.p, z2.z, z2.p)}
    assert known <= memory.seen.keys()
    assert max(size for address, size in memory.seen.items() if address not in known) <= 50_000


def test_one_dense_position_is_compared_with_each_of_the_pruned_models() -> None:
    h, h2, z, z2 = positions()
    for one, other in zip(
        compare(h[:1], h2, of(z[0]), Distribution(z2)),
        compare(h[:1].repeat(3, 1), h2, Distribution(z[:1].repeat(3, 1)), Distribution(z2)),
        strict=True,
    ):
        assert_same(one, other)


def test_many_positions_are_compared_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    h, h2, z, z2 = positions()
    together = compare(h, h2, Distribution(z, 0.7), Distribution(z2, 0.7), top=4)
    monkeypatch.setattr("probes.stepping.spaces.SLAB", 2 * 900)
    found = list(compare_logits(h, h2, z, z2, temperature=0.7, top=4))
    assert len(found) == 3
    for one, other in zip(found, together, strict=True):
        assert_same(one, other)
    with pytest.raises(ValueError, match="numbers of positions"):
        list(compare_logits(h[:2], h2, z, z2))


def test_equal_positions_give_exactly_nothing_together() -> None:
    torch.manual_seed(2)
    h, z = torch.randn(5, 24), torch.randn(5, WIDE) * 9
    for same in compare(h, h.clone(), Distribution(z), Distribution(z.clone())):
        assert {getattr(getattr(same, group), name) for group, names in ZEROS.items() for name in names} == {0}
        assert {getattr(getattr(same, group), name) for group, names in ONES.items() for name in names} == {1}


def test_vectors_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        figures([1, 2], [1, 2, 3], np.zeros(4), np.zeros(4))
    one = torch.zeros(3)
    with pytest.raises(ValueError, match="temperatures"):
        compared(one, one, of(one, 1.0), of(one, 2.0))
    with pytest.raises(ValueError, match="scratch"):
        compared(one, one, of(one), of(one), scratch=new_scratch(of(torch.zeros(4))))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5])
def test_nothing_in_common_is_a_jensen_shannon_of_log_2_and_no_more(temperature: float) -> None:
    found = figures([1], [1], np.eye(1, WIDE, 3)[0] * 1e4, np.eye(1, WIDE, 7)[0] * 1e4, temperature).p
    assert found.js == pytest.approx(math.log(2), rel=1e-14)
    assert found.js <= math.log(2)


def test_extreme_inputs_give_no_silent_nan():
    z = np.zeros(WIDE)
    z[0] = 3e38
    got = figures([1e30, 1], [1, 1e30], z, -z)
    assert math.isfinite(got.p.kl)
    assert math.isfinite(got.p.js)
    assert got.p.js == pytest.approx(math.log(2))
    assert got.p.tv == pytest.approx(1, abs=0.05)


def test_a_shorter_table_changes_no_figure_but_the_overlap() -> None:
    generator = torch.Generator().manual_seed(5)
    h, h2 = torch.randn(2, 16, generator=generator)
    p, q = (of(z) for z in torch.randn(2, 300, generator=generator))
    whole, short = compared(h, h2, p, q, top=10), compared(h, h2, p, q, top=4)
    assert (short.h, short.z, replace(short.p, topk_overlap=whole.p.topk_overlap)) == (whole.h, whole.z, whole.p)
    likeliest = {row.token_id for row in whole.top if min(row.rank_dense, row.rank_pruned) <= 4}
    assert {row.token_id for row in short.top} == likeliest
    assert set(short.top) <= set(whole.top)


@pytest.mark.parametrize("constant", [64.0, -1024.0])
@pytest.mark.parametrize("temperature", [1.0, 0.3])
def test_a_constant_added_to_all_logits_changes_no_probability(constant: float, temperature: float) -> None:
    z = np.random.default_rng(3).integers(-9000, 9000, size=700).astype(np.float32) / 1024  # adding is exact
    found = figures([1], [1], z, z + np.float32(constant), temperature)
    p = found.p
    assert (p.kl, p.kl_reverse, p.js, p.tv, p.cos, p.kl_estimate, p.cos_estimate) == (0, 0, 0, 0, 1, 0, 0)
    assert p.entropy_dense == p.entropy_pruned
    assert (p.rank_dense_in_pruned, p.rank_pruned_in_dense, p.topk_overlap) == (1, 1, 1)
    assert all(row.kl_share == 0 and row.p == row.q for row in found.top)
    assert found.z.rms_centred == pytest.approx(0, abs=1e-9)
    assert found.z.cos_centred == pytest.approx(1)
    assert found.z.cos < 0.9


def test_a_constant_that_rounds_the_logits_moves_the_kl_by_rounding_alone() -> None:
    z = np.random.default_rng(3).normal(size=700).astype(np.float32) * 5
    assert figures([1], [1], z, z + np.float32(7.3)).p.kl < 1e-11
