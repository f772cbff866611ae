"""The twin shares what it doesn't change, drops what it says, and gives everything back to the bit."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
import torch
from accelerate import cpu_offload
from accelerate.hooks import AlignDevicesHook
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.models.loaded import Loaded
from probes.schema.errors import BadInput, Failure
from probes.schema.part import Part
from probes.stepping.cached_model import CachedModel
from probes.twin.anatomy import dissect
from probes.twin.measure import measure_removed
from probes.twin.sharing import sharing_copy
from probes.twin.twin import Twin
from tests.support.forked import with_torch
from tests.support.tiny import ARCHITECTURES, MORE, tiny

ALL = [*ARCHITECTURES, *MORE]
WITH_SUBLAYERS = [name for name in ALL if name != "mamba"]
IDS = [5, 17, 99, 3, 42, 8, 61, 20, 33, 7, 90, 12]


def logits(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([IDS]), use_cache=False).logits


def stepped(model: PreTrainedModel) -> Tensor:
    """The same logits through the cache, token by token."""
    track = CachedModel(model)
    return torch.stack([track.read([IDS[:n]]).logits[0] for n in range(3, len(IDS) + 1)])


@pytest.mark.parametrize("architecture", ALL)
def test_a_shared_model_owns_no_tensor(architecture: str) -> None:
    dense = tiny(architecture)
    twin = sharing_copy(dense)
    pointers = {t.data_ptr() for t in [*dense.parameters(), *dense.buffers()]}
    assert {t.data_ptr() for t in [*twin.parameters(), *twin.buffers()]} == pointers
    assert not {id(m) for m in twin.modules()} & {id(m) for m in dense.modules()}
    assert torch.equal(logits(twin), logits(dense))


@pytest.mark.parametrize("architecture", ALL)
def test_a_masked_matrix_is_the_only_new_tensor(architecture: str) -> None:
    dense = tiny(architecture)
    before = logits(dense)
    twin = Twin(dense)
    matrix = twin.anatomy.matrices[1]
    stored: Any = dense.get_submodule(matrix.name).weight
    keep = torch.rand(stored.t().shape if matrix.transposed else stored.shape) > 0.5
    twin.mask(matrix.name, keep)
    new = {n for n, p in twin.model.named_parameters() if p.data_ptr() != dense.get_parameter(n).data_ptr()}
    assert new == {f"{matrix.name}.weight"}
    masked: Any = twin.model.get_submodule(matrix.name).weight
    masked = masked.t() if matrix.transposed else masked
    assert torch.equal(masked == 0, ~keep)
    assert not torch.equal(logits(twin.model), before)
    assert torch.equal(logits(dense), before)
    twin.restore()
    assert torch.equal(logits(twin.model), before)


@pytest.mark.parametrize("kind", ["attn", "mlp"])
@pytest.mark.parametrize("architecture", WITH_SUBLAYERS)
def test_a_dropped_sublayer_is_as_one_that_adds_nothing(architecture: str, kind: str) -> None:
    """Against the dense model with the sublayer's last matrix and bias set to 0, the slow way to add nothing."""
    dense = tiny(architecture)
    sublayer = dissect(dense).blocks[1].sublayer(kind)
    reference = copy.deepcopy(dense)
    for name, parameter in reference.get_submodule(sublayer.modules[-1]).named_parameters():
        with torch.no_grad():
            if parameter.dim() >= 2 or "bias" in name:
                parameter.zero_()
    twin = Twin(dense)
    twin.drop(Part(kind, 1))
    assert not torch.equal(logits(twin.model), logits(dense))
    torch.testing.assert_close(logits(twin.model), logits(reference), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(stepped(twin.model)[:, :], logits(reference)[0, 2:], rtol=1e-3, atol=2e-4)
    twin.restore(Part(kind, 1))
    assert torch.equal(logits(twin.model), logits(dense))


@pytest.mark.parametrize("architecture", ALL)
def test_a_dropped_block_is_as_a_model_built_without_it(architecture: str) -> None:
    dense = tiny(architecture)
    anatomy = dissect(dense)
    shorter = copy.deepcopy(dense)
    stack_path = anatomy.blocks[0].name.rpartition(".")[0]
    stack = shorter.get_submodule(stack_path)
    types = getattr(dense.config, "layer_types", None)
    gone = 2
    kept = nn.ModuleList(block for i, block in enumerate(stack.children()) if i != gone)
    parent, _, name = stack_path.rpartition(".")
    setattr(shorter.get_submodule(parent), name, kept)
    shorter.config.num_hidden_layers = len(kept)
    if types and not isinstance(getattr(type(dense.config), "layer_types", None), property):
        shorter.config.layer_types = [t for i, t in enumerate(types) if i != gone]
    for number, block in enumerate(kept):
        modules: list[Any] = list(block.modules())
        for module in modules:
            if isinstance(getattr(module, "layer_idx", None), int):
                module.layer_idx = number
    twin = Twin(dense)
    twin.drop(Part("block", gone))
    assert torch.equal(logits(twin.model), logits(shorter))
    assert torch.equal(stepped(twin.model), stepped(shorter))
    twin.restore()
    assert torch.equal(stepped(twin.model), stepped(dense))


@pytest.mark.parametrize("architecture", WITH_SUBLAYERS)
@pytest.mark.parametrize("layers", [[0], [0, 1], [0, 1, 2]], ids=str)
def test_the_cache_stays_right_when_the_first_attentions_are_dropped(architecture: str, layers: list[int]) -> None:
    twin = Twin(tiny(architecture))
    for layer in layers:
        twin.drop(Part("attn", layer))
    torch.testing.assert_close(stepped(twin.model), logits(twin.model)[0, 2:], rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("architecture", WITH_SUBLAYERS)
def test_any_state_comes_back_exactly(architecture: str) -> None:
    dense = tiny(architecture)
    twin = Twin(dense)
    states, answers = [twin.state], [logits(twin.model)]
    name = twin.anatomy.blocks[2].matrices[0].name
    shape: Any = (
        dense.get_submodule(name).weight.t()
        if twin.anatomy.matrices[0].transposed
        else dense.get_submodule(name).weight
    )
    for change in (
        lambda: twin.drop(Part("attn", 0)),
        lambda: twin.mask(name, torch.rand(shape.shape) > 0.3),
        lambda: twin.drop(Part("block", 1)),
        lambda: twin.drop(Part("mlp", 2)),
        lambda: twin.restore(Part("attn", 0)),
    ):
        change()
        states.append(twin.state)
        answers.append(logits(twin.model))
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(answers))
    for i in (3, 0, 5, 1, 4, 2):
        twin.set_state(states[i])
        assert torch.equal(logits(twin.model), answers[i]), i


def test_what_is_not_there_can_not_be_dropped() -> None:
    twin = Twin(tiny("llama"))
    for wrong in (Part("attn", 9), Part("block", 3), Part("mlp", -1), Part("nose", 1)):
        with pytest.raises(BadInput, match="3 layers"):
            twin.drop(wrong)
    twin.drop(Part("attn", 1))
    with pytest.raises(BadInput, match="already"):
        twin.drop(Part("attn", 1))
    with pytest.raises(BadInput, match="no attn that can be dropped on its own"):
        Twin(tiny("mamba")).drop(Part("attn", 0))


class Shifting(nn.Module):
    """A norm with a bias: what it makes of nothing is not nothing."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.5


def test_a_norm_behind_a_dropped_sublayer_falls_silent_with_it() -> None:
    dense = tiny("gemma2")
    dense.model.layers[1].post_feedforward_layernorm = Shifting()
    reference = copy.deepcopy(dense)
    reference.model.layers[1].post_feedforward_layernorm = Silence()
    twin = Twin(dense)
    twin.drop(Part("mlp", 1))
    torch.testing.assert_close(logits(twin.model), logits(reference))
    twin.restore(Part("mlp", 1))
    assert torch.equal(logits(twin.model), logits(dense))


class Silence(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def test_a_layer_that_adds_something_of_its_own_can_not_be_dropped_from() -> None:
    dense = tiny("gemma2")
    layer = dense.model.layers[1]
    plain = layer.forward
    layer.forward = lambda *args, **kwargs: plain(*args, **kwargs) + 0.5
    twin = Twin(dense)
    with pytest.raises(Failure, match="not leave the residual stream of layer 1 of Gemma2ForCausalLM unchanged"):
        twin.drop(Part("mlp", 1))
    assert twin.state.dropped == frozenset()
    assert torch.equal(logits(twin.model), logits(dense))
    assert twin.droppable("attn") == (Part("attn", 0), Part("attn", 2))
    assert twin.droppable("block") == tuple(Part("block", layer) for layer in range(3))


def test_a_sublayer_that_is_never_asked_can_not_be_dropped() -> None:
    dense = tiny("llama")
    layer = dense.model.layers[2]
    layer.forward = lambda hidden_states, **kwargs: hidden_states * 1.0
    twin = Twin(dense)
    with pytest.raises(Failure):
        twin.drop(Part("mlp", 2))


@pytest.mark.parametrize("norm_first", [True, False], ids=["pre-norm", "post-norm"])
def test_opt_is_dropped_from_whichever_side_its_norms_stand(norm_first: bool) -> None:
    dense = tiny("opt", do_layer_norm_before=norm_first)
    reference = copy.deepcopy(dense)
    for parameter in reference.model.decoder.layers[1].fc2.parameters():
        parameter.zero_()
    twin = Twin(dense)
    twin.drop(Part("mlp", 1))
    torch.testing.assert_close(logits(twin.model), logits(reference), rtol=1e-4, atol=1e-5)


def test_bloom_that_adds_the_normed_state_is_refused_or_right() -> None:
    dense = tiny("bloom", apply_residual_connection_post_layernorm=True)
    reference = copy.deepcopy(dense)
    for parameter in reference.transformer.h[1].mlp.dense_4h_to_h.parameters():
        parameter.zero_()
    twin = Twin(dense)
    twin.drop(Part("mlp", 1))
    torch.testing.assert_close(logits(twin.model), logits(reference), rtol=1e-4, atol=1e-5)


def test_a_state_keeps_bits_and_no_second_weight() -> None:
    twin = Twin(tiny("llama"))
    name = twin.anatomy.matrices[0].name
    twin.mask(name, torch.rand(32, 32) > 0.5)
    change = twin.state.changes[name]
    assert change.weight is None
    assert change.kept.nbytes == 32 * 32 / 8
    first = twin.weight(name)
    twin.mask(name, torch.rand(32, 32) > 0.5)
    assert twin.weight(name).data_ptr() == first.data_ptr()


def test_a_replaced_matrix_is_kept_by_reference_and_never_written_to() -> None:
    twin = Twin(tiny("gpt2"))
    name = twin.anatomy.matrices[0].name
    other = torch.randn_like(twin.dense_weight(name))
    other[0, :5] = 0
    twin.replace(name, other.clone())
    replaced = twin.state
    assert torch.equal(twin.weight(name), other)
    twin.mask(name, torch.rand(other.shape) > 0.5)
    twin.restore(name)
    twin.set_state(replaced)
    assert torch.equal(twin.weight(name), other)
    (row,) = measure_removed(twin).matrices
    assert row.zeros == 5


def test_what_whole_features_left_stays_empty_under_a_later_mask() -> None:
    twin = Twin(tiny("llama"))
    name = twin.anatomy.matrices[0].name
    columns = torch.ones(32, 32, dtype=torch.bool)
    columns[:, :8] = False
    twin.remove_features(name, columns)
    twin.mask(name, torch.ones(32, 32, dtype=torch.bool))
    assert not twin.weight(name)[:, :8].any()
    twin.replace(name, torch.ones(32, 32))
    assert not twin.weight(name)[:, :8].any()
    assert twin.weight(name)[:, 8:].all()
    twin.restore(name)
    assert torch.equal(twin.weight(name), twin.dense_weight(name))


def test_a_hole_in_an_infinite_weight_is_a_zero() -> None:
    dense = tiny("llama")
    name = dissect(dense).matrices[0].name
    dense.get_submodule(name).weight[0, 0] = torch.inf
    twin = Twin(dense)
    keep = torch.ones(32, 32, dtype=torch.bool)
    keep[0, 0] = False
    twin.mask(name, keep)
    assert twin.weight(name)[0, 0] == 0


def test_the_hash_tells_masks_and_drops_apart_and_nothing_else() -> None:
    def hashed(*changes: Any) -> str:
        twin = Twin(tiny("llama"))
        for change in changes:
            if isinstance(change, Part):
                twin.drop(change)
            else:
                twin.mask(twin.anatomy.matrices[change].name, torch.arange(32 * 32).view(32, 32) % 3 > 0)
        return twin.state.hash

    assert hashed() == ""
    attn, mlp = Part("attn", 1), Part("mlp", 1)
    assert hashed(0, attn) == hashed(attn, 0)
    assert len({hashed(0), hashed(1), hashed(0, 1), hashed(attn), hashed(0, attn), hashed(mlp)}) == 6


def test_a_measure_counts_the_weights_and_names_what_is_gone() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    first, second = (matrix.name for matrix in twin.anatomy.matrices[:2])
    keep = torch.rand(32, 32) > 0.25
    twin.mask(first, keep)
    twin.drop(Part("mlp", 1), Part("attn", 2))
    report = measure_removed(twin, "a setting", targets=[first, second])
    assert (report.zeroed, report.targeted) == (int((~keep).sum()), 32 * 32 + 32 * 16 if "k_proj" in second else 0)
    assert report.dropped == ("attn 2", "mlp 1")
    gone = [dense.model.layers[1].mlp, dense.model.layers[2].self_attn]
    assert report.dropped_parameters == sum(p.numel() for module in gone for p in module.parameters())
    assert {matrix.layer for matrix in twin.in_use if matrix.sublayer == "mlp"} == {0, 2}


def test_restoring_what_is_dense_already_is_an_error() -> None:
    twin = Twin(tiny("llama"))
    with pytest.raises(BadInput, match="mlp 1 is already dense"):
        twin.restore(Part("mlp", 1))


def test_a_model_whose_weights_are_moved_in_and_out_shares_the_store_they_come_from() -> None:
    dense = tiny("llama")
    plain = logits(dense)
    cpu_offload(dense, execution_device="cpu")
    twin = Twin(dense)
    assert torch.equal(logits(twin.model), plain)
    for one, other in zip(dense.modules(), twin.model.modules(), strict=True):
        for a, b in zip(hooks_of(one), hooks_of(other), strict=True):
            assert a.weights_map is b.weights_map
    twin.drop(Part("mlp", 1))
    assert not torch.equal(logits(twin.model), plain)
    name = twin.anatomy.matrices[0].name
    twin.mask(name, torch.eye(32, dtype=torch.bool))
    assert int(torch.count_nonzero(twin.weight(name))) == 32
    assert torch.equal(logits(dense), plain)


def hooks_of(module: nn.Module) -> list[AlignDevicesHook]:
    hook = getattr(module, "_hf_hook", None)
    inner = getattr(hook, "hooks", (hook,))
    return [h for h in inner if isinstance(h, AlignDevicesHook)]


MEMORY = """
import json, sys, torch
from probes.bench.resident import kept
from probes.models.loaded import load
from probes.schema.part import Part
from probes.twin.twin import Twin

model = load("demo").model
with torch.inference_mode():
    model(input_ids=torch.tensor([[1, 2, 3]]), use_cache=False)
    before = kept()
    twin = Twin(model)
    twin.drop(*(Part("attn", layer) for layer in range(0, len(twin.anatomy.blocks), 3)))
    dropped = kept()
    masked = [matrix.name for matrix in twin.anatomy.matrices if matrix.name.endswith("up_proj")]
    keep = torch.arange(twin.weight(masked[0]).numel()).reshape(twin.weight(masked[0]).shape) % 2 == 0
    for name in masked:
        twin.mask(name, keep)
    size = lambda tensors: sum(t.numel() * t.element_size() for t in tensors)
    json.dump({
        "weights": size(model.parameters()),
        "matrices": size(twin.weight(name) for name in masked),
        "dropping": dropped - before,
        "masking": kept() - dropped,
    }, sys.stdout)
"""


@pytest.mark.demo
def test_a_twin_of_the_demo_model_takes_the_memory_of_what_was_masked(demo: Loaded) -> None:
    """By the resident memory of a process of its own, where nothing that was freed before can be used again."""
    taken = json.loads(with_torch().run(MEMORY).stdout)
    assert taken["dropping"] < 0.02 * taken["weights"]
    assert 0.9 * taken["matrices"] < taken["masking"] < taken["matrices"] + 0.05 * taken["weights"]
