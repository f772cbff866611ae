"""The parts of a margin are those of a plain pass with the formula written out, and add up to the run's own logits."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from probes.explain.anatomy import judge_split, measure_split
from probes.explain.layers import read_streams
from probes.explain.sublayers import take_apart
from probes.schema.part import Part
from probes.schema.split_anatomy import NEAR_TIE, SplitAnatomy, SplitVerdict
from probes.stepping.cached_model import CachedModel
from probes.twin.twin import Twin
from tests.support.explaining import _BLOCKS, _NORMS, CONTEXT, EXPLAINED, plain, two
from tests.support.stepping import damaged
from tests.support.tiny import moved, tiny

SPLIT = (*EXPLAINED, "granite", "cohere", "phi")
FINAL_NORMS = {
    "gpt2": "transformer.ln_f",
    "falcon": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "phi": "model.final_layernorm",
}
CENTRED = {"gpt2", "falcon", "gpt_neox", "phi", "cohere"}
ADDS_ONE = {"gemma2", "gemma3"}
SCALE = {"granite": 1 / 4, "cohere": 1 / 4}


def split_of(dense: PreTrainedModel, pruned: PreTrainedModel, **options: Any) -> SplitAnatomy:
    streams = read_streams(CachedModel(dense), CachedModel(pruned), CONTEXT, take_apart(dense, pruned))
    return measure_split(streams[0].output, streams[1].output, streams, **options)


def first(output: object) -> Tensor:
    found = output[0] if isinstance(output, tuple) else output
    assert isinstance(found, Tensor)
    return found


def written_out(architecture: str, model: PreTrainedModel, a: int, b: int) -> list[float]:
    """The embedding's, every sublayer's and the head's part of z(a) - z(b), from a pass over the whole context in which
    each module's output is looked at; float64."""
    stack = _BLOCKS.get(architecture, "model.layers")
    norm_path = FINAL_NORMS.get(architecture, "model.norm")
    seen: dict[str, Tensor] = {}
    handles = [
        model.get_submodule(f"{stack}.{layer}.{names[-1]}").register_forward_hook(
            lambda _m, _a, output, key=f"{layer}.{names[-1]}": seen.update({key: first(output)[0, -1].double()})
        )
        for layer in range(3)
        for names in _NORMS[architecture]
    ]
    norm, head = model.get_submodule(norm_path), model.get_output_embeddings()
    for module, key in ((model.get_submodule(f"{stack}.0"), "embedding"), (norm, "end")):
        handles.append(
            module.register_forward_pre_hook(
                lambda _m, args, kwargs, key=key: seen.update(
                    {key: (args[0] if args else kwargs["hidden_states"])[0, -1].double()}
                ),
                with_kwargs=True,
            )
        )
    logits = plain(model)[-1].double()
    for handle in handles:
        handle.remove()
    factor = getattr(model.config, "residual_multiplier", 1.0)
    parts = [seen["embedding"]]
    parts += [factor * seen[f"{layer}.{names[-1]}"] for layer in range(3) for names in _NORMS[architecture]]

    def centred(state: Tensor) -> Tensor:
        return state - state.mean() if architecture in CENTRED else state

    end = centred(seen["end"])
    eps = getattr(norm, "eps", getattr(norm, "variance_epsilon", None))
    weight = norm.weight.double() + (architecture in ADDS_ONE)
    rows = head.weight.double()[[a, b]]
    direction = SCALE.get(architecture, 1.0) * (rows[0] - rows[1])
    held = weight / (end.square().mean() + eps).sqrt()
    added = [float((centred(part) * held) @ direction) for part in parts]
    bias = getattr(norm, "bias", None)
    itself = 0.0 if bias is None else float(bias.double() @ direction)
    if getattr(head, "bias", None) is not None:
        itself += SCALE.get(architecture, 1.0) * float(head.bias[a] - head.bias[b])
    if cap := getattr(model.config, "final_logit_softcapping", None):
        uncapped = cap * torch.atanh(logits[[a, b]] / cap)
        itself += float(logits[a] - logits[b]) - float(uncapped[0] - uncapped[1])
    return [*added, itself]


@pytest.mark.parametrize("architecture", SPLIT)
def test_every_part_is_that_of_the_formula_written_out(architecture: str) -> None:
    dense, pruned, _ = two(architecture)
    found = split_of(dense, pruned)
    names = [(part.layer, part.sublayer) for part in found.parts]
    assert names == [(None, "embedding"), *((i, kind) for i in range(3) for kind in ("attn", "mlp")), (None, "head")]
    for model, side in ((dense, "dense"), (pruned, "pruned")):
        expected = written_out(architecture, model, found.a.token_id, found.b.token_id)
        assert [getattr(part, side) for part in found.parts] == pytest.approx(expected, abs=3e-5, rel=1e-4)


@pytest.mark.parametrize("architecture", SPLIT)
def test_the_parts_add_up_to_the_logits_of_the_run(architecture: str) -> None:
    dense, pruned, _ = two(architecture)
    found = split_of(dense, pruned)
    for model, side in ((dense, "dense"), (pruned, "pruned")):
        logits = CachedModel(model).read([CONTEXT]).logits[0].double()
        margin = float(logits[found.a.token_id] - logits[found.b.token_id])
        assert math.fsum(getattr(part, side) for part in found.parts) == pytest.approx(margin, abs=1e-12)
        assert getattr(found.a, f"z_{side}") - getattr(found.b, f"z_{side}") == margin


def test_half_precision_adds_up_too_and_says_what_rounding_does_in_the_head() -> None:
    dense = moved(tiny("qwen3"), torch.bfloat16)
    found = split_of(dense, damaged(dense))
    assert math.fsum(part.dense for part in found.parts) == pytest.approx(found.a.z_dense - found.b.z_dense, abs=1e-12)
    assert abs(found.parts[-1].dense) < 0.1
    assert "rounding" in found.notes[-1]


def test_the_tokens_their_margins_entropies_and_ranks() -> None:
    dense, pruned, _ = two("llama")
    found = split_of(dense, pruned, temperature=0.5, vocabulary=100, piece=lambda token: f"<{token}>")
    p, q = (torch.log_softmax(plain(model)[-1, :100].double() / 0.5, -1) for model in (dense, pruned))
    a, b = int(p.argmax()), int(q.argmax())
    assert a != b
    assert (found.a.token_id, found.b.token_id, found.a.token) == (a, b, f"<{a}>")
    assert found.margin_dense == pytest.approx(float(p[a] - p[b]), rel=1e-5)
    assert found.margin_pruned == pytest.approx(float(q[a] - q[b]), rel=1e-5)
    assert (found.a.p, found.b.q) == pytest.approx((float(p[a].exp()), float(q[b].exp())), rel=1e-5)
    assert found.entropy_dense == pytest.approx(float(-(p.exp() * p).sum()), rel=1e-5)
    assert found.entropy_pruned == pytest.approx(float(-(q.exp() * q).sum()), rel=1e-5)
    assert (found.a.rank_dense, found.b.rank_pruned) == (1, 1)
    assert found.b.rank_dense == 1 + int((p > p[b]).sum())
    assert found.a.rank_pruned == 1 + int((q > q[a]).sum())


def test_given_choices_are_taken_and_equal_ones_are_set_against_the_next() -> None:
    dense, pruned, _ = two("llama")
    assert (found := split_of(dense, pruned, choices=(3, 9))).verdict is not None
    assert (found.a.token_id, found.b.token_id) == (3, 9)
    top = int(plain(pruned)[-1].argmax())
    for token in (top, 3):
        found = split_of(dense, pruned, choices=(token, token))
        order = [i for i in plain(pruned)[-1].argsort(descending=True).tolist() if i != token]
        assert (found.a.token_id, found.b.token_id, found.verdict) == (token, order[0], None)


@pytest.mark.parametrize("architecture", SPLIT)
def test_an_exact_copy_moves_nothing(architecture: str) -> None:
    dense = tiny(architecture)
    found = split_of(dense, Twin(dense).model)
    assert found.verdict is None
    assert found.change == 0
    assert all(part.change == 0 for part in found.parts)


def test_a_dropped_sublayer_adds_nothing() -> None:
    dense = tiny("llama")
    twin = Twin(dense)
    twin.drop(Part("attn", 1))
    twin.drop(Part("block", 2))
    found = {(part.layer, part.sublayer): part for part in split_of(dense, twin.model).parts}
    for key in ((1, "attn"), (2, "attn"), (2, "mlp")):
        assert found[key].pruned == 0 != found[key].dense
    assert found[1, "mlp"].pruned != 0


@pytest.mark.parametrize(
    ("dense", "pruned", "floor", "verdict"),
    [
        (3e-5, -1e-5, 5e-5, SplitVerdict.NUMERICAL),
        (3e-5, -3e-5, 5e-5, SplitVerdict.NEAR_TIE),
        (1e-6, -2.0, 5e-5, SplitVerdict.NEAR_TIE),
        (NEAR_TIE - 1e-9, -5.0, 0.0, SplitVerdict.NEAR_TIE),
        (NEAR_TIE, -1e-9, 0.0, SplitVerdict.CONFIDENT_FLIP),
        (-0.5, -2.0, 0.0, SplitVerdict.NEAR_TIE),
    ],
)
def test_verdicts(dense: float, pruned: float, floor: float, verdict: SplitVerdict) -> None:
    assert judge_split(dense, pruned, floor) is verdict


class OddNorm(nn.Module):
    def forward(self, hidden_states: Tensor) -> Tensor:
        return torch.tanh(hidden_states)


class OddHead(nn.Linear):
    def forward(self, hidden: Tensor) -> Tensor:
        return super().forward(hidden).square()


def odd(what: str) -> PreTrainedModel:
    model = copy.deepcopy(tiny("llama", tie_word_embeddings=False))
    inner: Any = model.get_submodule("model")
    if what == "norm":
        inner.norm = nn.Identity()
    elif what == "tanh":
        inner.norm = OddNorm()
    else:
        head = OddHead(32, 128, bias=False)
        head.weight = model.get_output_embeddings().weight
        model.set_output_embeddings(head)
    return model


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("norm", "no final norm that could be found"),
        ("tanh", "OddNorm is no RMSNorm or LayerNorm"),
        ("head", "does more than multiply by its matrix"),
    ],
)
def test_what_can_not_be_split_is_a_sentence_and_no_figure(what: str, sentence: str) -> None:
    dense = odd(what)
    found = split_of(dense, damaged(dense))
    assert found.parts == ()
    assert len(found.notes) == 1
    assert sentence in found.notes[0]
    assert found.margin_dense > 0


def test_the_head_says_what_it_holds() -> None:
    assert split_of(*two("llama")[:2]).notes == ()
    assert "biases" in split_of(*two("phi")[:2]).notes[0]
    assert "caps its logits" in split_of(*two("gemma2")[:2]).notes[-1]
    odd_width = tiny("gpt2", hidden_size=33, num_attention_heads=3)
    found = split_of(odd_width, damaged(odd_width))
    assert found.parts
    assert "biases" in found.notes[0]
