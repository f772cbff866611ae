"""Whole neurons and heads: what adds least goes, with all that is its own, and nothing of what serves others."""

from __future__ import annotations

import copy
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.models.phi3.modeling_phi3 import Phi3MLP

from probes.prune import block_walk as blocks
from probes.prune.criteria import removed
from probes.prune.structured import feature_masks
from probes.schema.errors import BadInput, Failure
from probes.schema.prune_setting import parse
from probes.system.progress import Work
from probes.twin.measure import measure_removed
from probes.twin.twin import Twin
from tests.support.layouts import HEADS, VARIANTS, built, groups, lost_rows, writes
from tests.support.prune_models import loaded, logits, pruned
from tests.support.slow_pruning import added, entering
from tests.support.tiny import tiny

IDS = torch.randint(1, 128, (4, 10), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    monkeypatch.setattr(blocks, "BATCH_TOKENS", 20)


def thin(twin: Twin, setting: str) -> None:
    for part in parse(setting).parts:
        for thinning in feature_masks(twin, part, lambda: IDS, Work())[0]:
            twin.remove_features(thinning.name, thinning.keep)


def silenced(dense: PreTrainedModel, features: dict[str, list[int]]) -> Tensor:
    """The dense model's logits where some features never reach their matrix: they are made 0 on the way in."""
    model = copy.deepcopy(dense)
    for name, gone in features.items():
        model.get_submodule(name).register_forward_pre_hook(
            lambda _m, args, gone=gone: (args[0].index_fill(-1, torch.tensor(gone, dtype=torch.long), 0),)
        )
    return logits(model)


def check_only_these_are_zero(twin: Twin, rows: dict[str, set[int]], columns: dict[str, list[int]]) -> None:
    """Every matrix of the twin is the dense one but for these rows and columns."""
    for matrix in twin.anatomy.matrices:
        expected = twin.dense_weight(matrix.name).clone()
        expected[sorted(rows.get(matrix.name, ()))] = 0
        expected[:, columns.get(matrix.name, [])] = 0
        assert torch.equal(twin.weight(matrix.name), expected), matrix.name


@pytest.mark.parametrize("variant", [name for name in VARIANTS if name != "mixtral"])
def test_the_neurons_that_add_least_go_with_every_weight_that_is_theirs(variant: str) -> None:
    twin = Twin(built(variant))
    rows: dict[str, set[int]] = {}
    columns: dict[str, list[int]] = {}
    for layer, name in writes(twin, variant, "mlp").items():
        neurons, inputs = twin.weight(name).shape[1], entering(twin.dense, IDS, name)
        adds = [added(inputs, twin.weight(name), [j]) for j in range(neurons)]
        gone = sorted(range(neurons), key=adds.__getitem__)[: removed(0.3, neurons)]
        columns[name] = gone
        for matrix in twin.anatomy.blocks[layer].matrices:
            if matrix.sublayer == "mlp" and matrix.name != name:
                size = twin.weight(matrix.name).shape[0]
                rows[matrix.name] = {row for row in range(size) if row % neurons in gone}
    thin(twin, "neurons:0.3")
    check_only_these_are_zero(twin, rows, columns)
    torch.testing.assert_close(logits(twin.model), silenced(twin.dense, columns), rtol=1e-4, atol=1e-5)
    assert not torch.equal(logits(twin.model), logits(twin.dense))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_heads_that_add_least_go_with_every_weight_that_serves_them_alone(variant: str) -> None:
    twin = Twin(built(variant))
    shares: dict[tuple[int, tuple[int, ...]], float] = {}
    names = writes(twin, variant, "attn")
    size = twin.weight(names[0]).shape[1] // HEADS
    for layer, name in names.items():
        inputs, weight = entering(twin.dense, IDS, name), twin.weight(name)
        whole = added(inputs, weight, list(range(HEADS * size)))
        for group in groups(variant):
            features = [head * size + i for head in group for i in range(size)]
            shares[layer, tuple(group)] = (added(inputs, weight, features) / whole) ** 2
    lost: dict[int, set[int]] = {}
    for layer, heads in sorted(shares, key=shares.__getitem__)[: removed(0.5, len(shares))]:
        lost.setdefault(layer, set()).update(heads)
    columns = {names[layer]: [h * size + i for h in sorted(gone) for i in range(size)] for layer, gone in lost.items()}
    thin(twin, "heads:0.5")
    check_only_these_are_zero(twin, lost_rows(variant, lost, twin), columns)
    torch.testing.assert_close(logits(twin.model), silenced(twin.dense, columns), rtol=1e-4, atol=1e-5)
    assert not torch.equal(logits(twin.model), logits(twin.dense))


class SideBySide(Phi3MLP):
    """Each neuron's gate next to what it gates, where the plain one has all gates first."""

    def forward(self, hidden_states: Tensor) -> Tensor:
        gate, up = self.gate_up_proj(hidden_states).unflatten(-1, (-1, 2)).unbind(-1)
        return self.down_proj(up * self.activation_fn(gate))


class Scaled(Phi3MLP):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return super().forward(hidden_states) * 2


def test_gates_that_stand_side_by_side_with_what_they_gate_are_told_from_those_one_after_another() -> None:
    dense = tiny("phi3")
    for layer in dense.model.layers:
        layer.mlp.__class__ = SideBySide
    twin = Twin(dense)
    thin(twin, "neurons:0.5")
    down, both = (twin.weight(f"model.layers.1.mlp.{name}") for name in ("down_proj", "gate_up_proj"))
    gone = (down == 0).all(0)
    assert int(gone.sum()) == 32
    assert torch.equal((both == 0).all(1), gone.repeat_interleave(2))


def test_an_mlp_that_does_something_more_to_what_a_matrix_wrote_is_left_alone() -> None:
    dense = tiny("phi3")
    for layer in dense.model.layers[:2]:
        layer.mlp.__class__ = Scaled
    twin = Twin(dense)
    thin(twin, "neurons:0.5")
    assert {matrix.layer for matrix in measure_removed(twin).matrices} == {2}
    with pytest.raises(BadInput, match=r"neurons:0\.5@layers=0-1 finds no MLP"):
        thin(twin, "neurons:0.5@layers=0-1")


def test_heads_of_all_attentions_are_ranked_together_by_their_share_of_what_theirs_adds() -> None:
    dense = tiny("gpt2")
    for layer, factor in enumerate((1e-3, 1.0, 1.0)):
        dense.transformer.h[layer].attn.c_proj.weight.mul_(factor)  # a whole quiet attention is not preferred
    dense.transformer.h[1].attn.c_proj.weight[8:].mul_(1e-3)
    twin = Twin(dense)
    thin(twin, "heads:0.25")
    (rows, written) = (twin.weight(f"transformer.h.1.attn.{name}") for name in ("c_attn", "c_proj"))
    assert {matrix.layer for matrix in measure_removed(twin).matrices} == {1}
    assert (written == 0).all(0).tolist() == [False] * 8 + [True] * 24
    assert (rows == 0).all(1).tolist() == ([False] * 8 + [True] * 24) * 3


@pytest.mark.parametrize("ratio", [0.02, 0.29, 0.5, 0.95, 1.0])
def test_as_many_neurons_go_in_each_mlp_as_the_ratio_says(ratio: float) -> None:
    twin = Twin(tiny("llama", intermediate_size=100))
    thin(twin, f"neurons:{ratio}")
    for name in writes(twin, "llama", "mlp").values():
        assert int((twin.weight(name) == 0).all(0).sum()) == removed(ratio, 100)


@pytest.mark.parametrize(("variant", "all_groups"), [("gpt2", 12), ("llama", 6), ("falcon", 12)])
@pytest.mark.parametrize("ratio", [0.17, 0.25, 0.5, 0.99, 1.0])
def test_as_many_groups_go_of_all_together_as_the_ratio_says(variant: str, all_groups: int, ratio: float) -> None:
    twin = Twin(built(variant))
    thin(twin, f"heads:{ratio}")
    columns = sum(int((twin.weight(name) == 0).all(0).sum()) for name in writes(twin, variant, "attn").values())
    assert columns == removed(ratio, all_groups) * 96 // all_groups
    lost = {
        layer: {h for h in range(HEADS) if not twin.weight(name)[:, h * 8 : h * 8 + 8].any()}
        for layer, name in writes(twin, variant, "attn").items()
    }
    for name, rows in lost_rows(variant, lost, twin).items():
        if rows:  # keys and values that several read go with the last of their readers
            assert not twin.weight(name)[sorted(rows)].any()


@pytest.mark.parametrize(("setting", "what"), [("neurons:0.01", "64 neurons"), ("heads:0.1", "6 groups of heads")])
def test_a_ratio_that_removes_nothing_is_refused_and_the_one_that_is_advised_removes_one(
    setting: str, what: str
) -> None:
    twin = Twin(tiny("llama"))
    with pytest.raises(BadInput, match=f"of {what} rounds to zero") as caught:
        thin(twin, setting)
    assert caught.value.title == "Nothing removed"
    (advised,) = re.findall(r"at least ([\d.]+)\.$", caught.value.hint)
    thin(twin, f"{setting.split(':')[0]}:{advised}")
    kind = "mlp" if "neurons" in setting else "attn"
    zero = [int((twin.weight(name) == 0).all(0).sum()) for name in writes(twin, "llama", kind).values()]
    assert zero == [1, 1, 1] if kind == "mlp" else sum(zero) == 16


@pytest.mark.parametrize(
    ("architecture", "setting", "reason"),
    [
        ("mixtral", "neurons:0.5", "no MLP"),
        ("mamba", "neurons:0.5", "no MLP"),
        ("mamba", "heads:0.5", "no attention"),
        ("llama", "drop-block@layers=0-2+heads:0.5", "no attention"),
    ],
)
def test_where_nothing_can_be_thinned_a_sentence_says_so(architecture: str, setting: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason) as caught:
        pruned(loaded(architecture), setting)
    assert caught.value.title == "Nothing to prune"


def test_attentions_that_do_not_divide_into_like_heads_are_refused() -> None:
    twin = Twin(tiny("llama"))
    twin.dense.config.num_attention_heads = 5
    with pytest.raises(BadInput, match="layer 0 does not divide into heads"):
        thin(twin, "heads:0.5")


@pytest.mark.parametrize("setting", ["neurons:0.5", "heads:0.5"])
def test_what_is_not_finite_is_not_ranked(setting: str) -> None:
    dense = tiny("llama")
    kind = "mlp.down_proj" if "neurons" in setting else "self_attn.o_proj"
    dense.get_submodule(f"model.layers.1.{kind}").weight[3, 3] = torch.inf
    with pytest.raises(Failure, match=rf"layers\.1\.{kind}"):
        thin(Twin(dense), setting)


@pytest.mark.parametrize("setting", ["neurons:0.5@layers=1", "heads:0.5@layers=1"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "bloom"])
def test_other_layers_stay_and_no_hook_is_left(architecture: str, setting: str) -> None:
    twin = Twin(tiny(architecture))
    thin(twin, setting)
    assert {matrix.layer for matrix in measure_removed(twin).matrices} == {1}
    for model in (twin.dense, twin.model):
        assert not any(module._forward_hooks or module._forward_pre_hooks for module in model.modules())


def test_what_is_ranked_is_the_model_as_it_is_by_now() -> None:
    dense = loaded("qwen2")
    twin, _ = pruned(dense, "magnitude:0.8@mlp+drop-attn@layers=0")
    before = {matrix.name: twin.weight(matrix.name).clone() for matrix in twin.anatomy.matrices}
    names = writes(twin, "qwen2", "mlp")
    expected = {}
    for name in names.values():
        inputs = entering(twin.model, IDS, name)
        adds = [added(inputs, twin.weight(name), [j]) for j in range(64)]
        expected[name] = sorted(range(64), key=adds.__getitem__)[:32]
    thin(twin, "neurons:0.5")
    for name, gone in expected.items():
        before[name][:, gone] = 0
        assert torch.equal(twin.weight(name), before[name])


@pytest.mark.parametrize("variant", ["qwen3", "gpt2", "phi3", "falcon-grouped"])
def test_a_second_thinning_takes_all_weights_of_what_it_takes_too(variant: str) -> None:
    """What the first one took reaches nothing any more, so nothing can be learned from disturbing it."""
    twin = Twin(built(variant))
    thin(twin, "heads:0.5@layers=0+heads:0.75")
    size = twin.weight(writes(twin, variant, "attn")[0]).shape[1] // HEADS
    lost = {
        layer: {h for h in range(HEADS) if not twin.weight(name)[:, h * size : (h + 1) * size].any()}
        for layer, name in writes(twin, variant, "attn").items()
    }
    assert all(lost.values())
    for name, rows in lost_rows(variant, lost, twin).items():
        assert not twin.weight(name)[sorted(rows)].any(), name


@pytest.mark.parametrize("setting", ["neurons:0.5+neurons:0.25", "heads:0.5+heads:0.5"])
def test_a_second_thinning_that_finds_all_of_it_gone_is_an_error(setting: str) -> None:
    dense = loaded("llama")
    twin = Twin(dense.model)
    with pytest.raises(BadInput, match="are already pruned"):
        pruned(dense, setting, twin)
    assert not twin.state.changes


def test_a_matrix_that_is_silent_in_one_layer_still_gives_its_rows_in_the_others() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:1@name=gate_proj@layers=0+neurons:0.5")
    for layer in (1, 2):
        up, down = (twin.weight(f"model.layers.{layer}.mlp.{name}") for name in ("up_proj", "down_proj"))
        assert torch.equal((up == 0).all(1), (down == 0).all(0))
