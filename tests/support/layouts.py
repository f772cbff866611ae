"""The layout of the weights of the tiny models' attentions and MLPs, as their code has it."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from transformers import PreTrainedModel

from probes.twin.twin import Twin
from tests.support.tiny import ARCHITECTURES, MORE, tiny

HEADS = 4
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in (*ARCHITECTURES, *MORE) if name != "mamba"},
    "falcon-grouped": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon-single": ("falcon", {"multi_query": False}),
    "llama-multi-query": ("llama", {"num_key_value_heads": 1}),
    "llama-single": ("llama", {"num_key_value_heads": 4}),
}
_WRITES = defaultdict(
    lambda: {"attn": "self_attn.o_proj", "mlp": "mlp.down_proj"},
    gpt2={"attn": "attn.c_proj", "mlp": "mlp.c_proj"},
    gpt_neox={"attn": "attention.dense", "mlp": "mlp.dense_4h_to_h"},
    opt={"attn": "self_attn.out_proj", "mlp": "fc2"},
    phi={"attn": "self_attn.dense", "mlp": "mlp.fc2"},
    bloom={"attn": "self_attention.dense", "mlp": "mlp.dense_4h_to_h"},
    falcon={"attn": "self_attention.dense", "mlp": "mlp.dense_4h_to_h"},
)
"""The matrices that write to the residual stream, by architecture."""

Runs = dict[str, list[set[int]]]
"""By matrix: the heads that each run of rows, one head wide, serves."""
EACH, PAIRS, ALL = [{0}, {1}, {2}, {3}], [{0, 1}, {2, 3}], {0, 1, 2, 3}
_BY_HEAD = [head for head in EACH for _ in "qkv"]
RUNS: dict[str, Runs] = defaultdict(
    lambda: {"q_proj": EACH, "k_proj": PAIRS, "v_proj": PAIRS},
    {
        "gpt2": {"c_attn": EACH * 3},
        "gpt_neox": {"query_key_value": _BY_HEAD},
        "opt": dict.fromkeys(("q_proj", "k_proj", "v_proj"), EACH),
        "phi": dict.fromkeys(("q_proj", "k_proj", "v_proj"), EACH),
        "bloom": {"query_key_value": _BY_HEAD},
        "falcon": {"query_key_value": [*EACH, ALL, ALL]},
        "falcon-grouped": {"query_key_value": [{0}, {1}, *[{0, 1}] * 2, {2}, {3}, *[{2, 3}] * 2]},
        "falcon-single": {"query_key_value": _BY_HEAD},
        "phi3": {"qkv_proj": [*EACH, *PAIRS, *PAIRS]},
        # Its norms of queries and keys go over all heads at once.
        "olmo2": {"q_proj": [ALL] * 4, "k_proj": [ALL] * 2, "v_proj": PAIRS},
        "llama-multi-query": {"q_proj": EACH, "k_proj": [ALL], "v_proj": [ALL]},
        "llama-single": dict.fromkeys(("q_proj", "k_proj", "v_proj"), EACH),
    },
)
_EACH_ALONE = ("gpt2", "gpt_neox", "opt", "phi", "bloom", "falcon-single", "llama-single")
_ALL_TIED = ("falcon", "llama-multi-query", "olmo2")


def groups(variant: str) -> list[set[int]]:
    """The heads that go together: single ones where each has keys of its own, or where all are tied."""
    return EACH if variant in (*_EACH_ALONE, *_ALL_TIED) else PAIRS


def built(variant: str) -> PreTrainedModel:
    architecture, changes = VARIANTS[variant]
    return tiny(architecture, **changes)


def writes(twin: Twin, variant: str, kind: str) -> dict[int, str]:
    return {block.layer: f"{block.name}.{_WRITES[VARIANTS[variant][0]][kind]}" for block in twin.anatomy.blocks}


def lost_rows(variant: str, lost: dict[int, set[int]], twin: Twin) -> dict[str, set[int]]:
    """The rows that serve lost heads and no others."""
    size = twin.weight(writes(twin, variant, "attn")[0]).shape[1] // HEADS
    found: dict[str, set[int]] = {}
    for matrix in twin.anatomy.matrices:
        serves = RUNS[variant].get(matrix.name.rpartition(".")[2], [])
        runs = [run for run, among in enumerate(serves) if among <= lost.get(matrix.layer, set())]
        found[matrix.name] = {run * size + i for run in runs for i in range(size)}
    return found
