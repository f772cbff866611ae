"""Drops in models whose layers are not all alike, against the same model with hooks that do the same."""

from __future__ import annotations

import copy
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.prune.importance import least_important
from probes.schema.errors import BadInput, Failure
from probes.schema.part import Part
from probes.schema.prune_setting import parse
from probes.stepping.cached_model import CachedModel
from probes.system.progress import Work
from probes.twin.anatomy import Anatomy, dissect
from probes.twin.twin import Twin
from tests.support.mixed_layers import HYBRIDS, mixed

IDS = [5, 17, 99, 3, 42, 8, 61, 20, 33]


def at_once(model: PreTrainedModel) -> Tensor:
    with torch.inference_mode():
        return model(input_ids=torch.tensor([IDS]), use_cache=False).logits[0]


def stepped(model: PreTrainedModel) -> Tensor:
    """The logits after each beginning of the text, through the cache, with a step back."""
    track = CachedModel(model)
    forth = [track.read([IDS[:n]]).logits[0] for n in range(5, len(IDS) + 1)]
    return torch.stack([*forth, *(track.read([IDS[:n]]).logits[0] for n in (7,))])


def hooked(dense: PreTrainedModel, anatomy: Anatomy, parts: Sequence[Part]) -> PreTrainedModel:
    """A plain model that runs everything, and in which hooks throw away what the dropped parts add."""
    model = copy.deepcopy(dense)
    for part in parts:
        block = anatomy.block(part.layer)
        assert block is not None
        sublayer = block.sublayer(part.kind) if part.kind != "block" else None
        for path in sublayer.modules if sublayer else (block.name,):
            model.get_submodule(path).register_forward_hook(_silent if sublayer else _passing, with_kwargs=True)
    return model


def _passing(_module: nn.Module, args: tuple[Tensor, ...], kwargs: dict[str, Tensor], out: object) -> object:
    hidden = args[0] if args else kwargs["hidden_states"]
    return (hidden, *out[1:]) if isinstance(out, tuple) else hidden


def _silent(_module: nn.Module, _args: object, _kwargs: object, out: object) -> object:
    if isinstance(out, tuple):
        return (torch.zeros_like(out[0]), *out[1:])
    assert isinstance(out, Tensor)
    return torch.zeros_like(out)


@pytest.mark.parametrize("architecture", HYBRIDS)
def test_a_hybrid_without_some_of_its_parts_is_the_plain_model_that_ignores_them(architecture: str) -> None:
    dense = mixed(architecture)
    anatomy = dissect(dense)
    first = next(block for block in anatomy.blocks if block.attn)
    last = anatomy.blocks[-1]
    mlps = [sublayer.part for sublayer in anatomy.sublayers if sublayer.part.kind == "mlp"]
    attentions = [sublayer.part for sublayer in anatomy.sublayers if sublayer.part.kind == "attn"]
    for dropped in (
        [Part("attn", first.layer)],
        attentions,
        mlps[:2],
        [Part("block", 0)],
        [Part("block", first.layer), Part("block", last.layer)],
    ):
        twin = Twin(dense)
        twin.drop(*dropped)
        reference = hooked(dense, anatomy, dropped)
        torch.testing.assert_close(at_once(twin.model), at_once(reference), rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(stepped(twin.model), stepped(reference), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("architecture", HYBRIDS)
def test_every_attention_and_mlp_beside_a_mixer_can_be_dropped(architecture: str) -> None:
    twin = Twin(mixed(architecture))
    for kind in ("attn", "mlp"):
        assert twin.droppable(kind) == tuple(s.part for s in twin.anatomy.sublayers if s.part.kind == kind)
    assert len(twin.droppable("block")) == len(twin.anatomy.blocks)


@pytest.mark.parametrize("architecture", ["bert", "roberta"])
def test_an_attention_that_adds_its_input_itself_is_refused_in_a_sentence(architecture: str) -> None:
    twin = Twin(mixed(architecture))
    with pytest.raises(Failure, match=r"Dropping attn 1 would not leave .* of layer 1 of .* Drop the block instead"):
        twin.drop(Part("attn", 1))
    reference = hooked(twin.dense, twin.anatomy, [Part("block", 1)])
    twin.drop(Part("block", 1))
    torch.testing.assert_close(at_once(twin.model), at_once(reference))
    torch.testing.assert_close(stepped(twin.model), stepped(reference), rtol=1e-4, atol=1e-4)


def test_streams_that_mix_by_themselves_are_dropped_by_the_block() -> None:
    twin = Twin(mixed("deepseek_v4"))
    with pytest.raises(Failure, match="Drop the block instead"):
        twin.drop(Part("attn", 1))
    twin.drop(Part("block", 1))
    torch.testing.assert_close(stepped(twin.model), stepped(hooked(twin.dense, twin.anatomy, [Part("block", 1)])))


def test_an_mlp_and_the_experts_beside_it_are_one_mlp() -> None:
    model = mixed("granitemoehybrid")
    mlp = dissect(model).blocks[0].mlp
    assert mlp is not None
    assert [path.rpartition(".")[2] for path in mlp.modules] == ["block_sparse_moe", "shared_mlp"]
    with pytest.raises(BadInput, match="no attn that can be dropped on its own"):
        Twin(model).drop(Part("attn", 0))


@pytest.mark.parametrize("architecture", ["deepseek_v4", "bert", "granitemoehybrid", "jamba"])
def test_the_block_that_changes_the_stream_least_is_found_whatever_is_in_it(architecture: str) -> None:
    twin = Twin(mixed(architecture))
    found = least_important(twin, parse("drop-block:1").parts[0], lambda: torch.tensor([IDS]), Work())
    assert found[0] in twin.droppable("block")


@pytest.mark.parametrize("setting", ["drop-attn:1", "drop-mlp:1"])
@pytest.mark.parametrize("architecture", ["deepseek_v4", "bert"])
def test_a_count_of_what_can_not_be_dropped_names_what_can(architecture: str, setting: str) -> None:
    with pytest.raises(BadInput, match=r"could drop on its own\. Drop whole blocks"):
        least_important(Twin(mixed(architecture)), parse(setting).parts[0], lambda: torch.tensor([IDS]), Work())
