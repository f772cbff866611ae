"""Contexts that cross a length at which rotary factors change are read as a model that is new reads them at once."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

import pytest
import torch
from torch import Tensor
from transformers import PhimoeConfig, PhimoeForCausalLM, PreTrainedModel

from probes.models import rotary as rotary_module
from probes.models.rotary import Rotary
from probes.pair import Pair, load_pair
from probes.schema.errors import BadInput
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.spec import PairSpec
from probes.stepping import cache_check as steppable
from probes.stepping import cached_model as track
from probes.stepping.cache_check import check_steppable
from probes.stepping.cached_model import CachedModel
from probes.stepping.lockstep import Lockstep
from probes.twin.twin import Twin
from tests.support.steppable import loaded, spread
from tests.support.stepping import Words
from tests.support.tiny import byte_tokenizer, save, tiny

LIMIT = 16
THETA = {"rope_theta": 10_000.0}
LONG = {"rope_type": "longrope", "short_factor": [1.0] * 4, "long_factor": [4.0, 3.0, 2.0, 5.0], **THETA}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, **THETA}
IDS = torch.randint(2, 128, (40,), generator=torch.Generator().manual_seed(1)).tolist()


def phi3(**changes: Any) -> PreTrainedModel:
    given = {"max_position_embeddings": 64, "original_max_position_embeddings": LIMIT, **changes}
    return tiny("phi3", rope_parameters=dict(LONG), **given)


def llama_longrope() -> PreTrainedModel:
    parameters: dict[str, Any] = {**LONG, "original_max_position_embeddings": LIMIT, "factor": 4.0}
    return tiny("llama", rope_parameters=parameters, max_position_embeddings=64)


def dynamic(seed: int = 0) -> PreTrainedModel:
    return tiny("llama", seed, rope_parameters=dict(DYNAMIC), max_position_embeddings=LIMIT)


def dynamic_in_some_layers() -> PreTrainedModel:
    each = {"full_attention": dict(DYNAMIC), "sliding_attention": {"rope_type": "default", **THETA}}
    return tiny("gemma3", rope_parameters=each, max_position_embeddings=LIMIT)


def phimoe() -> PreTrainedModel:
    """Its two sets of factors are one here, and a scale of all angles' sines and cosines changes instead."""
    sizes: dict[str, Any] = {"vocab_size": 128, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads: dict[str, Any] = {
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    }
    parameters: dict[str, Any] = {
        **LONG,
        "short_mscale": 1.0,
        "long_mscale": 1.5,
        "original_max_position_embeddings": LIMIT,
    }
    config = PhimoeConfig(**sizes, **heads, max_position_embeddings=64, rope_parameters=parameters)
    return spread(PhimoeForCausalLM(config))


KINDS = [phi3, llama_longrope, dynamic, dynamic_in_some_layers, phimoe]


SAID: WeakKeyDictionary[PreTrainedModel, dict[tuple[int, ...], Tensor]] = WeakKeyDictionary()


@torch.inference_mode()
def at_once(fresh: PreTrainedModel, ids: Sequence[int]) -> Tensor:
    """What a model says that has read nothing else before."""
    known = SAID.setdefault(fresh, {})
    if tuple(ids) not in known:
        known[tuple(ids)] = copy.deepcopy(fresh)(torch.tensor([list(ids)])).logits[0, -1]
    return known[tuple(ids)]


def check(fresh: PreTrainedModel, found: Tensor, ids: Sequence[int]) -> None:
    expected = at_once(fresh, ids)
    assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max()), len(ids)


@pytest.mark.parametrize("make", KINDS)
def test_every_length_in_any_order_gives_what_reading_all_at_once_gives(make):
    model = make()
    fresh = copy.deepcopy(model)
    reader = CachedModel(model)
    on, back, jumps = range(14, 20), range(18, 14, -1), (30, 20, 8, 17)
    for length in (*on, *back, *jumps):
        check(fresh, reader.read([IDS[:length]]).logits[0], IDS[:length])
    for length in (15, 16, 17, 18, 16):  # two contexts, as after a split
        rows = [IDS[:length], [*IDS[:10], *IDS[20 : 10 + length]]]
        answer = reader.read(rows)
        for row, context in enumerate(rows):
            check(fresh, answer.logits[row], context)
    check(fresh, reader.read([[*IDS[:16], 5, 7]]).logits[0], [*IDS[:16], 5, 7])  # a branch on the other side


@pytest.mark.parametrize("make", KINDS)
def test_the_lengths_matter_to_these_models(make):
    """Without the rule they are read wrongly, or the test above would prove nothing."""
    model = make()
    fresh = copy.deepcopy(model)
    reader = CachedModel(model)
    reader._rotary = Rotary(tiny("llama"))
    for length in range(13, 19):
        found = reader.read([IDS[:length]]).logits[0]
    expected = at_once(fresh, IDS[:18])
    assert float((found - expected).abs().max()) > 0.01 * float(expected.abs().max())


@pytest.mark.parametrize("make", KINDS)
def test_a_prompt_read_in_pieces_has_the_factors_of_its_whole_length(make, monkeypatch):
    monkeypatch.setattr(track, "FILL", 6)
    model = make()
    fresh = copy.deepcopy(model)
    for length in (15, 17, 40):
        check(fresh, CachedModel(model).read([IDS[:length]]).logits[0], IDS[:length])


@pytest.mark.parametrize("make", [phi3, lambda: phi3(sliding_window=8)], ids=["all tokens", "sliding window"])
def test_it_is_what_generating_gives_where_that_reads_anew_too(make):
    model = make()
    reader, written = CachedModel(copy.deepcopy(model)), IDS[:10]
    given = {"do_sample": False, "eos_token_id": None, "pad_token_id": 0, "return_dict_in_generate": True}
    found = model.generate(torch.tensor([written]), max_new_tokens=12, output_logits=True, **given)
    sequence = found.sequences[0].tolist()
    for step, expected in enumerate(found.logits):
        answer = reader.read([sequence[: 10 + step]]).logits[0]
        assert float((answer - expected[0]).abs().max()) < 1e-5 * float(expected.abs().max()), step


@pytest.mark.parametrize("make", [phi3, dynamic])
def test_two_models_that_share_tensors_leave_each_other_alone(make):
    model = make()
    fresh = copy.deepcopy(model)
    twin = Twin(model)
    for matrix in twin.anatomy.matrices[:4]:
        weight = twin.dense_weight(matrix.name)
        twin.mask(matrix.name, weight.abs() > weight.abs().median())
    fresh_twin = copy.deepcopy(twin.model)
    dense, pruned = CachedModel(model), CachedModel(twin.model)
    for length, other in ((14, 20), (15, 19), (16, 18), (17, 17), (18, 16), (19, 15)):
        check(fresh, dense.read([IDS[:length]]).logits[0], IDS[:length])
        check(fresh_twin, pruned.read([IDS[:other]]).logits[0], IDS[:other])
    changing = {id(buffer) for buffer in rotary_module.changing_buffers(model)}
    assert changing, "the buffers that a pass writes to"
    assert changing.isdisjoint(id(buffer) for buffer in twin.model.buffers())


@pytest.mark.parametrize("make", [phi3, dynamic])
def test_stepping_in_free_over_the_length_and_back_over_it(make):
    model = make()
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.model.layers[1].mlp.down_proj.weight.mul_(0.2)
    fresh, fresh_other = copy.deepcopy(model), copy.deepcopy(other)
    settings = RunSettings("", follow=Follow.FREE, sampling=Sampling(1.0, seed=3))
    with Lockstep(model, other, Words(), IDS[:12], settings) as lockstep:
        lockstep.step(dense=5, pruned=7)  # the texts part here
        path = [*lockstep.path, *(lockstep.step() for _ in range(8))]
        for record in path:
            rows = contexts(path, record.step)
            p, q = (at_once(m, row).double().log_softmax(-1) for m, row in zip((fresh, fresh_other), rows, strict=True))
            assert record.own is not None
            assert record.own.p.kl == pytest.approx(float((p.exp() * (p - q)).sum()), rel=1e-4), record.step
        lockstep.seek(path[:3])
        again = [lockstep.step() for _ in range(5)]
    # The context before the length is read again in one piece, so the last bits may differ.
    assert [record.own.p.kl for record in again] == pytest.approx([record.own.p.kl for record in path[3:8]], rel=1e-4)
    assert contexts([*path[:3], *again], 9) == contexts(path[:8], 9)


def contexts(path: Sequence[StepRecord], step: int) -> tuple[list[int], list[int]]:
    before = path[: step - 1]
    return (
        [*IDS[:12], *(record.taken.token_id for record in before if record.taken)],
        [*IDS[:12], *(record.taken_pruned.token_id for record in before if record.taken_pruned)],
    )


def test_dynamic_factors_stretch_how_far_a_model_can_be_stepped():
    settings = RunSettings("", follow=Follow.DENSE)
    assert Lockstep(dynamic(), dynamic(), Words(), IDS[:10], settings).limit == 4 * LIMIT - 10 + 1
    assert Lockstep(phi3(), phi3(), Words(), IDS[:10], settings).limit == 64 - 10 + 1


def test_the_factors_are_what_they_were_after_reading():
    model = dynamic()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    CachedModel(model).read([IDS[:30]])
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())
    model = phi3()
    before = {name: buffer.clone() for name, buffer in model.named_buffers()}
    CachedModel(model).read([IDS[:30]])
    assert all(torch.equal(buffer, before[name]) for name, buffer in model.named_buffers())


@pytest.mark.parametrize("make", KINDS)
def test_the_check_at_loading_goes_past_a_shortened_length_and_passes(make):
    model = make()
    fresh = copy.deepcopy(model)
    check_steppable(loaded(model))
    assert at_once(model, IDS[:18]).equal(at_once(fresh, IDS[:18])), "the length is put back"
    assert at_once(model, IDS[:10]).equal(at_once(fresh, IDS[:10]))


@pytest.mark.parametrize("make", KINDS)
def test_the_check_at_loading_refuses_what_is_read_wrongly_past_the_length(make, monkeypatch):
    class Forgetful(Rotary):
        def scale(self, length: int) -> tuple[int, ...]:
            return ()

    monkeypatch.setattr(track, "Rotary", Forgetful)
    with pytest.raises(BadInput, match="cached decoding gives other logits than a full forward pass"):
        check_steppable(loaded(make()))


def test_the_check_at_loading_goes_past_the_sliding_window(monkeypatch):
    model = tiny("mistral-sliding", sliding_window=50)
    monkeypatch.setattr(steppable, "TESTED", frozenset())
    windows: list[int] = []
    model.register_forward_pre_hook(lambda *_: windows.append(model.config.sliding_window))
    check_steppable(loaded(model))
    assert set(windows) == {steppable._SHORT}
    assert steppable._SHORT < steppable._READ
    assert model.config.sliding_window == 50


def told(model: PreTrainedModel, folder) -> tuple[str, ...]:
    save(folder, model, byte_tokenizer())
    pair: Pair = load_pair(PairSpec(dense=str(folder), pruned=str(folder)))
    return pair.every_note


def test_a_note_says_what_is_slow_and_why(tmp_path):
    size = len(byte_tokenizer())
    parameters = dict(DYNAMIC)
    slow = tiny("llama", rope_parameters=parameters, max_position_embeddings=LIMIT, vocab_size=size)
    assert (
        "dynamic: beyond 16 tokens its rotary factors change with every token (dynamic NTK), so each step reads "
        "the whole context again and takes that long."
    ) in told(slow, tmp_path / "dynamic")
    assert any("beyond 16 tokens it uses other" in note for note in told(phi3(vocab_size=size), tmp_path / "longrope"))
    assert not any("rotary" in note for note in told(tiny("llama", vocab_size=size), tmp_path / "plain"))


@pytest.mark.parametrize("make", KINDS)
def test_a_model_that_has_been_stepped_can_be_read_by_others(make):
    model = make()
    fresh = copy.deepcopy(model)
    CachedModel(model).read([IDS[:20]])
    for length in (18, 12):
        with torch.no_grad():  # and not in inference mode, as calibration reads
            found = model(torch.tensor([IDS[:length]])).logits[0, -1]
        check(fresh, found, IDS[:length])
