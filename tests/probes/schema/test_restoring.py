"""What is given back is written as short as the grammar allows, and restores just that."""

from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from probes.schema.part import Part
from probes.schema.prune_setting import Method, parse
from probes.schema.restoring import with_restored


@dataclass(frozen=True)
class Made:
    name: str
    layer: int
    sublayer: str


LLAMA = [
    Made(f"model.layers.{layer}.{path}", layer, "attn" if "attn" in path else "mlp")
    for layer in range(4)
    for path in ("self_attn.q_proj", "self_attn.v_proj", "mlp.up_proj", "mlp.down_proj")
]
GPT2 = [
    Made(f"h.{layer}.{path}", layer, path.partition(".")[0])
    for layer in range(3)
    for path in ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
]


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ("wanda:0.5", "attn 3", "wanda:0.5+dense@attn@layers=3"),
        ("wanda:0.5", "attn 1,attn 2,attn 0", "wanda:0.5+dense@attn@layers=0-2"),
        ("wanda:0.5", "attn 3,mlp 3", "wanda:0.5+dense@layers=3"),
        ("wanda:0.5", "attn 1,attn 3,mlp 3,mlp 0", "wanda:0.5+dense@attn@layers=1,3+dense@mlp@layers=0,3"),
        ("wanda:0.5", "attn 1,attn 3,mlp 3,mlp 1,mlp 0", "wanda:0.5+dense@layers=1,3+dense@mlp@layers=0"),
        ("wanda:0.5+dense@attn@layers=3", "mlp 3", "wanda:0.5+dense@layers=3"),
        ("wanda:0.5+dense@attn@layers=3", "attn 2", "wanda:0.5+dense@attn@layers=2-3"),
        ("dense@layers=3+drop-mlp@layers=2", "mlp 2", "dense@layers=3+drop-mlp@layers=2+dense@mlp@layers=2"),
        ("wanda:0.5+dense@name=up_proj", "attn 2", "wanda:0.5+dense@name=up_proj+dense@attn@layers=2"),
        ("drop-attn:2", "attn 1", "drop-attn:2+dense@attn@layers=1"),
        ("wanda:0.5", "3.self_attn.q_proj", "wanda:0.5+dense@layers=3@name=q_proj"),
        ("wanda:0.5", "3.self_attn.q_proj,1.self_attn.q_proj", "wanda:0.5+dense@layers=1,3@name=q_proj"),
        ("wanda:0.5", "3.self_attn.q_proj,3.mlp.up_proj", "wanda:0.5+dense@layers=3@name=q_proj,up_proj"),
        ("wanda:0.5", "3.self_attn.q_proj,3.self_attn.v_proj", "wanda:0.5+dense@attn@layers=3"),
    ],
)  # fmt: skip
def test_it_is_short(before: str, given: str, after: str) -> None:
    words = given.split(",")
    parts = [Part.parse(word) for word in words if " " in word]
    names = {f"model.layers.{word}" for word in words if " " not in word}
    assert str(with_restored(parse(before), parts, names, LLAMA)) == after


def test_names_that_attention_and_mlp_share_are_told_apart() -> None:
    setting = with_restored(parse("wanda:0.5"), [], {"h.1.attn.c_proj"}, GPT2)
    assert str(setting) == "wanda:0.5+dense@attn@layers=1@name=c_proj"


@pytest.mark.parametrize("matrices", [LLAMA, GPT2], ids=["llama", "gpt2"])
@pytest.mark.parametrize("seed", range(20))
def test_any_set_is_restored_and_nothing_else(matrices: list[Made], seed: int) -> None:
    chance = random.Random(seed)
    parts = [Part(kind, layer) for kind in ("attn", "mlp") for layer in range(3) if chance.random() < 0.3]
    names = {one.name for one in matrices if chance.random() < 0.3}
    setting = with_restored(parse("wanda:0.5"), parts, names, matrices)
    assert parse(str(setting)) == setting
    restoring = [part.targets for part in setting.parts if part.method is Method.DENSE]
    got = {m.name for m in matrices for targets in restoring if targets.has(m.name, m.layer, m.sublayer)}
    assert got == names | {m.name for m in matrices if Part(m.sublayer, m.layer) in parts}


def test_a_layer_with_a_matrix_of_neither_sublayer_is_not_named_as_a_whole() -> None:
    more = [*LLAMA, Made("model.layers.3.gate", 3, "")]
    setting = with_restored(parse("wanda:0.5"), [Part("attn", 3), Part("mlp", 3)], (), more)
    assert str(setting) == "wanda:0.5+dense@attn@layers=3+dense@mlp@layers=3"
