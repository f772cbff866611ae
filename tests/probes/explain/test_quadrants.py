"""Either model on either cache equals plain passes over caches put together by hand, and an exact copy differs in
nothing."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from probes.explain import quadrants as measuring
from probes.explain.caches import TwoCaches, two_caches
from probes.explain.quadrants import blamed, measure_quadrants
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.part import Part
from probes.schema.quadrants import Blame, Quadrants
from probes.stepping import cached_model
from probes.stepping.cached_model import CachedModel
from probes.stepping.distribution import Distribution
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, EXPLAINED, kl, plain, two
from tests.support.stepping import damaged, lockstep
from tests.support.tiny import moved, tiny

LONG = [*CONTEXT, *(7 * i % 128 for i in range(3, 31))]


def measured(dense: PreTrainedModel, pruned: PreTrainedModel, context: list[int] = CONTEXT, **options) -> Quadrants:
    return measure_quadrants(CachedModel(dense), CachedModel(pruned), context, **options)


def remembered(model: PreTrainedModel, context: list[int]) -> DynamicCache:
    """What a model writes about all tokens but the last, in one pass."""
    cache = DynamicCache()
    with torch.no_grad():
        model(input_ids=torch.tensor([context[:-1]]), cache=cache, use_cache=True)
    return cache


def last(model: PreTrainedModel, cache: DynamicCache, context: list[int]) -> Tensor:
    """The logits at the last token, over this cache."""
    with torch.no_grad():
        found: Tensor = model(
            input_ids=torch.tensor([context[-1:]]), cache=copy.deepcopy(cache), use_cache=True
        ).logits[0, -1]
    return found


def with_dense(pruned: DynamicCache, dense: DynamicCache, position: int) -> DynamicCache:
    """The pruned cache with the dense one at one position."""
    made = copy.deepcopy(pruned)
    for mine, other in zip(made.layers, dense.layers, strict=True):
        assert isinstance(mine, DynamicLayer)
        assert isinstance(other, DynamicLayer)
        mine.keys[:, :, position] = other.keys[:, :, position]
        mine.values[:, :, position] = other.values[:, :, position]
    return made


@pytest.mark.parametrize("architecture", [*EXPLAINED, "mistral-sliding"])
def test_all_combinations_are_those_of_caches_put_together_by_hand(architecture: str) -> None:
    dense = two(architecture)[0] if architecture in EXPLAINED else tiny(architecture)
    pruned = two(architecture)[1] if architecture in EXPLAINED else damaged(dense)
    found = measured(dense, pruned)
    dense_cache, pruned_cache = (remembered(model, CONTEXT) for model in (dense, pruned))
    reference = plain(dense)[-1]

    def expected(model: PreTrainedModel, cache: DynamicCache) -> float:
        return kl(reference, last(model, cache, CONTEXT))

    assert found.control == 0
    assert math.isclose(found.both, kl(reference, plain(pruned)[-1]), rel_tol=1e-3)
    assert math.isclose(found.pruned_weights, expected(pruned, dense_cache), rel_tol=1e-3)
    assert math.isclose(found.pruned_cache, expected(dense, pruned_cache), rel_tol=1e-3)
    assert found.cached == found.tried == len(found.positions) == len(CONTEXT) - 1
    assert [one.kl_drop for one in found.positions] == sorted((one.kl_drop for one in found.positions), reverse=True)
    for one in found.positions:
        assert (one.token_id, one.token) == (CONTEXT[one.position], str(CONTEXT[one.position]))
        after = expected(pruned, with_dense(pruned_cache, dense_cache, one.position))
        assert one.kl_after == pytest.approx(after, rel=1e-3)
        assert one.kl_drop == pytest.approx(found.both - after, rel=1e-2, abs=1e-5)
    if architecture == "mistral-sliding":  # no layer sees what is further back than its window
        assert {one.position for one in found.positions if abs(one.kl_drop) > 1e-9} == set(range(4, 11))


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_an_exact_copy_differs_in_nothing_at_any_step(architecture: str) -> None:
    dense = tiny(architecture)
    with lockstep(dense, Twin(dense).model, steps=8) as both:
        for record in list(both)[::3]:
            found = measure_quadrants(*both.models, both.shared_context(record.step))
            assert (found.control, found.pruned_weights, found.pruned_cache, found.both) == (0, 0, 0, 0)
            assert (found.blame, found.positions, found.tried) == (Blame.NONE, (), 0)


def test_the_pruned_model_as_it_runs_is_the_record_s() -> None:
    dense, pruned, _ = two("qwen3")
    with lockstep(dense, pruned, steps=5) as both:
        record = list(both)[-1]
        found = measure_quadrants(*both.models, both.shared_context(5), vocabulary=both.vocabulary)
        assert record.own is not None
        assert found.both == pytest.approx(record.own.p.kl, rel=1e-9)


def test_what_never_enters_a_cache_is_computed_now() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    twin.mask("model.layers.2.mlp.up_proj", torch.rand(64, 32, generator=torch.Generator().manual_seed(0)) > 0.9)
    found = measured(dense, twin.model)
    assert found.pruned_cache == 0
    assert found.pruned_weights == found.both > 0.01
    assert found.blame is Blame.COMPUTE
    assert all(one.kl_drop == 0 for one in found.positions)


def test_what_only_an_earlier_token_meets_is_remembered() -> None:
    dense = tiny("llama", tie_word_embeddings=False)
    pruned = copy.deepcopy(dense)
    embeddings = pruned.get_submodule("model.embed_tokens")
    assert isinstance(embeddings, torch.nn.Embedding)
    with torch.no_grad():
        embeddings.weight[CONTEXT[-2]].mul_(-3)
    found = measured(dense, pruned)
    assert found.pruned_weights == 0
    assert found.pruned_cache == found.both > 0.01
    assert found.blame is Blame.MEMORY
    culprit, *others = found.positions
    assert (culprit.position, culprit.token_id) == (len(CONTEXT) - 2, CONTEXT[-2])
    assert culprit.kl_after == pytest.approx(0, abs=1e-9)
    assert max(abs(one.kl_drop) for one in others) < 1e-9


@pytest.mark.parametrize(
    ("weights", "cache", "both", "expected"),
    [
        (0.9, 0.1, 1.0, Blame.COMPUTE),
        (0.49, 0.5, 1.0, Blame.MEMORY),
        (0.5, 3.0, 1.0, Blame.EITHER),
        (0.4, 0.4, 1.0, Blame.BOTH),
        (0.4, 0.4, 0.009, Blame.NONE),
        (0.0, 0.0, 0.0, Blame.NONE),
    ],
)
def test_the_blame_follows_its_thresholds(weights: float, cache: float, both: float, expected: Blame) -> None:
    assert blamed(weights, cache, both) is expected


@pytest.mark.parametrize("parts", [["attn 0"], ["attn 1"], ["block 1"], ["attn 0", "attn 1", "attn 2"]], ids=str)
@pytest.mark.parametrize("architecture", ["llama", "gpt_neox"])
def test_a_dropped_attention_wrote_nothing_that_could_be_read(architecture: str, parts: list[str]) -> None:
    dense = tiny(architecture)
    twin, notes = Twin(dense), list[str]()
    twin.drop(*(Part(kind, int(layer)) for kind, layer in map(str.split, parts)))
    dropped = [int(part.split()[1]) for part in parts]
    found = measured(dense, twin.model, notes=notes)
    dense_cache, read = remembered(dense, CONTEXT), remembered(twin.model, CONTEXT)
    for layer in dropped:
        read.layers[layer] = dense_cache.layers[layer]
    assert found.pruned_cache == pytest.approx(kl(plain(dense)[-1], last(dense, read, CONTEXT)), rel=1e-3, abs=1e-9)
    assert found.both == pytest.approx(kl(plain(dense)[-1], plain(twin.model)[-1]), rel=1e-3)
    assert (found.pruned_cache < 1e-9) == (len(parts) == 3)
    (note,) = notes
    numbers = ", ".join(map(str, dropped))
    assert f"layer{'s' if len(dropped) > 1 else ''} {numbers} is dropped" in note


@pytest.mark.parametrize("architecture", EXPLAINED)
def test_of_a_longer_context_the_worst_position_is_among_the_few_that_are_tried(architecture: str) -> None:
    dense, pruned, _ = two(architecture)
    every = measured(dense, pruned, LONG, most=len(LONG))
    few = measured(dense, pruned, LONG, most=8)
    assert (every.tried, few.tried, few.cached) == (len(LONG) - 1, 8, len(LONG) - 1)
    assert few.positions[0].position == every.positions[0].position
    assert {0, len(LONG) - 2} <= {one.position for one in few.positions}
    for one in few.positions:
        same = next(other for other in every.positions if other.position == one.position)
        assert one.kl_after == pytest.approx(same.kl_after, rel=1e-3)


def test_the_order_to_try_is_the_slope_of_the_kl() -> None:
    dense, pruned = (
        moved(model, torch.float64) for model in (tiny("gpt2"), damaged(tiny("gpt2")))
    )  # whose norms stay in float64
    one, other = CachedModel(dense), CachedModel(pruned)
    caches = two_caches(one, other, CONTEXT)
    reference = Distribution(one.read([CONTEXT]).logits)
    slopes = measuring._first_order(other, CONTEXT, caches, reference, None)
    dense_cache, pruned_cache = (remembered(model, CONTEXT) for model in (dense, pruned))

    def after(position: int, share: float) -> float:
        moved_there = with_dense(pruned_cache, dense_cache, position)
        for mine, old in zip(moved_there.layers, pruned_cache.layers, strict=True):
            for name in ("keys", "values"):
                before = getattr(old, name)
                setattr(mine, name, before + share * (getattr(mine, name) - before))
        return kl(plain(dense)[-1], last(pruned, moved_there, CONTEXT))

    for position in (0, 4, 10):
        difference = (after(position, -1e-5) - after(position, 1e-5)) / 2e-5
        assert slopes[position] == pytest.approx(difference, rel=1e-5)


def test_without_a_gradient_the_latest_positions_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, pruned, _ = two("llama")

    def fails(*_: object) -> list[float]:
        raise RuntimeError("no derivative")

    monkeypatch.setattr(measuring, "_first_order", fails)
    notes: list[str] = []
    found = measured(dense, pruned, LONG, most=4, notes=notes)
    assert {one.position for one in found.positions} == {0, len(LONG) - 2, len(LONG) - 3, len(LONG) - 4}
    assert "no derivative" in notes[0]


@pytest.mark.parametrize("fitting", [2, 0])
def test_fewer_positions_at_once_if_memory_runs_out(fitting: int, monkeypatch: pytest.MonkeyPatch) -> None:
    dense, pruned, _ = two("llama")
    restored, asked = TwoCaches.restored, list[int]()

    def small(caches: TwoCaches, positions: list[int]) -> DynamicCache:
        asked.append(len(positions))
        if len(positions) > fitting:
            raise torch.OutOfMemoryError("no memory")
        return restored(caches, positions)

    monkeypatch.setattr(TwoCaches, "restored", small)
    notes: list[str] = []
    found = measured(dense, pruned, notes=notes)
    if fitting:
        assert (asked, notes) == ([11, 8, 4, 2, 2, 2, 2, 2, 1], [])
        assert found.tried == found.cached == 11
    else:
        assert (found.tried, found.cached, found.positions) == (0, 11, ())
        assert found.both > 0
        assert notes == ["Only 0 positions of the cache were restored, because memory ran out."]


def test_a_cache_filled_in_pieces_and_a_first_token(monkeypatch: pytest.MonkeyPatch) -> None:
    dense, pruned, _ = two("gemma3")
    expected = measured(dense, pruned)
    monkeypatch.setattr(cached_model, "FILL", 5)
    monkeypatch.setattr(measuring, "_BYTES", 1)  # and each position in a pass of its own
    found = measured(dense, pruned)
    for name in ("pruned_weights", "pruned_cache", "both"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-3)
    assert found.positions[0].kl_after == pytest.approx(expected.positions[0].kl_after, rel=1e-3)
    alone = measured(dense, pruned, CONTEXT[:1])
    assert (alone.cached, alone.positions, alone.pruned_cache) == (0, (), 0)
    assert alone.pruned_weights == alone.both > 0


def test_models_of_two_dtypes_read_each_other_s_cache() -> None:
    dense = tiny("llama")
    found = measured(dense, moved(damaged(dense), torch.bfloat16))
    assert found.control == 0
    assert min(found.pruned_weights, found.pruned_cache, found.both) > 0


def test_caches_that_can_not_be_exchanged() -> None:
    with pytest.raises(BadInput, match="MambaForCausalLM carries a state"):
        measured(tiny("mamba"), tiny("mamba"))
    with pytest.raises(BadInput, match="the dense model has 3 layers and the pruned one 2"):
        measured(tiny("llama"), tiny("llama", num_hidden_layers=2))
    with pytest.raises(BadInput, match="layer 0 holds 2 heads of 8 numbers in the dense and 4 heads of 8 numbers in"):
        measured(tiny("llama"), tiny("llama", num_key_value_heads=4))


def test_nan_and_cancelling() -> None:
    dense = tiny("llama")
    pruned = damaged(dense)
    with torch.no_grad():
        pruned.get_submodule("model.layers.1.mlp.up_proj").weight.fill_(math.nan)  # type: ignore[operator,union-attr]
    with pytest.raises(Failure, match=r"pruned model.*model\.layers\.1\.mlp"):
        measured(dense, pruned)
    with pytest.raises(Cancelled):
        measured(dense, damaged(dense), work=Work(cancelled=lambda: True))
