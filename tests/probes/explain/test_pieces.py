"""Exchanged matrices and heads give the logits of copied models with exchanged weights."""

from __future__ import annotations

import copy

import pytest
import torch
from transformers import PreTrainedModel

from probes.explain.culprits import swaps_as_found
from probes.explain.pieces import heads_in, matrices_in, pieces_of
from probes.explain.sublayers import take_apart
from probes.explain.swaps import Exchanges
from probes.schema.errors import BadInput
from probes.schema.part import Part
from probes.twin.twin import Twin
from tests.support.explaining import CONTEXT, plain, two
from tests.support.tiny import tiny

MATRICES = {
    "llama": (["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"], "self_attn", "mlp"),
    "gpt2": (["c_attn", "c_proj"], ["c_fc", "c_proj"], "attn", "mlp"),
    "gpt_neox": (["query_key_value", "dense"], ["dense_h_to_4h", "dense_4h_to_h"], "attention", "mlp"),
    "phi3": (["o_proj", "qkv_proj"], ["gate_up_proj", "down_proj"], "self_attn", "mlp"),
}
STACKS = {"gpt2": "transformer.h", "gpt_neox": "gpt_neox.layers"}
SIZE = 8
"""Features of a head."""


def block_path(architecture: str, layer: int) -> str:
    return f"{STACKS.get(architecture, 'model.layers')}.{layer}"


def mixed(model: PreTrainedModel, other: PreTrainedModel, path: str, rows: list[int], *, columns: bool = False) -> None:
    """Gives a matrix of the model some rows of the other's, with their biases, or some columns."""
    mine, theirs = model.get_submodule(path), other.get_submodule(path)
    turned = columns != (type(mine).__name__ == "Conv1D")
    with torch.no_grad():
        here, there = (module.get_parameter("weight") for module in (mine, theirs))
        if turned:
            here[:, rows] = there[:, rows]
        else:
            here[rows] = there[rows]
        if not columns and getattr(mine, "bias", None) is not None:
            mine.get_parameter("bias")[rows] = theirs.get_parameter("bias")[rows]


@pytest.mark.parametrize("architecture", MATRICES)
def test_a_matrix_is_exchanged_with_its_bias(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture)
    parts = [Part("attn", 1), Part("mlp", 1)]
    found, notes = matrices_in(sublayers, parts)
    attn, mlp, *children = MATRICES[architecture]
    assert sorted(piece.name for piece in found if piece.kind == "attn") == sorted(attn)
    assert sorted(piece.name for piece in found if piece.kind == "mlp") == sorted(mlp)
    assert bool(notes) == (architecture != "llama")  # a fused projection is named
    healing = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    for piece in found:
        made = copy.deepcopy(pruned)
        child = children[piece.kind == "mlp"]
        path = f"{block_path(architecture, 1)}.{child}"
        setattr(made.get_submodule(path), piece.name, copy.deepcopy(dense.get_submodule(f"{path}.{piece.name}")))
        assert torch.equal(healing.exchanged(piece), plain(made))
    assert torch.equal(healing.logits, plain(pruned))


@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gpt_neox", "phi3"])
def test_a_head_is_its_rows_and_its_columns(architecture: str) -> None:
    dense, pruned, sublayers = two(architecture)
    found, notes = heads_in(sublayers, [Part("attn", 1)])
    grouped = architecture in ("llama", "phi3")
    assert [piece.name for piece in found] == [f"head {i}" for i in range(4)] + [
        f"group {i}" for i in range(2)
    ] * grouped
    assert not notes
    healing = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    base = block_path(architecture, 1)
    for piece in found:
        made, number = copy.deepcopy(pruned), int(piece.name.split()[1])
        mine = list(range(number * SIZE, (number + 1) * SIZE))
        head = piece.name.startswith("head")
        if architecture == "llama":
            for name in ["q_proj"] if head else ["k_proj", "v_proj"]:
                mixed(made, dense, f"{base}.self_attn.{name}", mine)
            writes = f"{base}.self_attn.o_proj"
        elif architecture == "phi3":
            rows = mine if head else [32 + row for row in mine] + [48 + row for row in mine]
            mixed(made, dense, f"{base}.self_attn.qkv_proj", rows)
            writes = f"{base}.self_attn.o_proj"
        elif architecture == "gpt2":
            mixed(made, dense, f"{base}.attn.c_attn", [at + row for at in (0, 32, 64) for row in mine])
            writes = f"{base}.attn.c_proj"
        else:
            mixed(made, dense, f"{base}.attention.query_key_value", list(range(number * 24, (number + 1) * 24)))
            writes = f"{base}.attention.dense"
        if head:
            mixed(made, dense, writes, mine, columns=True)
        assert torch.equal(healing.exchanged(piece), plain(made))


def test_all_heads_and_groups_are_the_whole_attention() -> None:
    _, _, sublayers = two("mistral")
    part = Part("attn", 2)
    healing = Exchanges(sublayers, sublayers.pruned, sublayers.dense, CONTEXT, len(CONTEXT))
    matrices = matrices_in(sublayers, [part])[0]
    for pieces in (matrices, heads_in(sublayers, [part])[0]):
        modules = [piece.modules(sublayers.pruned.blocks[2], sublayers.dense.blocks[2]) for piece in pieces]
        assert {path for one in modules for path in one} == {share.path for piece in matrices for share in piece.shares}
    whole = healing.exchanged(*matrices)
    assert not torch.equal(whole, healing.logits)


def test_what_has_no_pieces_is_named() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    twin.drop(Part("attn", 1))
    sublayers = take_apart(dense, twin.model)
    with pytest.raises(BadInput, match="attn of layer 1 has no matrices"):
        pieces_of(sublayers, "matrix", [Part("attn", 1)])
    found, notes = pieces_of(sublayers, "head", sublayers.parts)
    assert {piece.layer for piece in found} == {0, 2}
    assert "layer 1 does not divide" in notes[0]
    with pytest.raises(BadInput, match="no attention"):
        pieces_of(sublayers, "head", [Part("mlp", 0)])


def test_a_broken_matrix_ranks_first_and_its_healing_takes_the_kl_away() -> None:
    dense = tiny("qwen2")
    twin = Twin(dense)
    name = "model.layers.1.mlp.up_proj"
    twin.mask(name, torch.zeros_like(twin.dense_weight(name), dtype=torch.bool))
    sublayers = take_apart(dense, twin.model)
    pieces, _ = matrices_in(sublayers, sublayers.parts)
    *_, found = swaps_as_found(sublayers, CONTEXT, pieces=pieces)
    first = found.heal[0]
    assert (first.layer, first.sublayer, first.piece, first.kl_after) == (1, "mlp", "up_proj", 0)
    assert all(one.kl_drop == 0 for one in found.heal[1:])
    assert len(found.heal) == len(found.damage) == 21
