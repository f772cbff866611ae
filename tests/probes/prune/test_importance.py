"""What a sublayer or block does to the stream is measured as defined, and what does least is what is dropped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from probes.calibration.samples import samples
from probes.prune import block_walk as blocks
from probes.prune.criteria import removed
from probes.prune.importance import importance, least_important
from probes.schema.errors import BadInput, Cancelled
from probes.schema.part import Part
from probes.schema.prune_setting import SettingPart, parse
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.prune_models import FEW, loaded, logits, pruned
from tests.support.slow_pruning import importance_slowly
from tests.support.tiny import ARCHITECTURES, MORE, tiny

KINDS = ("attn", "mlp", "block")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{name: (name, {}) for name in (*ARCHITECTURES, *MORE)},
    "gpt_neox-sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "falcon-sequential": ("falcon", {"parallel_attn": False}),
    "falcon-two-norms": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
    "falcon-alibi": ("falcon", {"alibi": True}),
}
IDS = torch.randint(1, 128, (4, 10), generator=torch.Generator().manual_seed(0))


@pytest.fixture(autouse=True)
def _two_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    monkeypatch.setattr(blocks, "BATCH_TOKENS", 20)


def part(setting: str) -> SettingPart:
    return parse(setting).parts[0]


def ids() -> Tensor:
    return IDS


def slow(twin: Twin, kind: str) -> dict[Part, float]:
    return importance_slowly(twin.dense, IDS, kind, twin.state.dropped)


@pytest.mark.parametrize("variant", VARIANTS)
def test_importance_is_one_minus_the_mean_cosine_of_the_stream_before_and_after(variant: str) -> None:
    architecture, changes = VARIANTS[variant]
    twin = Twin(tiny(architecture, **changes))
    for kind in KINDS if architecture != "mamba" else ("block",):
        found = importance(twin, kind, IDS, Work())
        assert list(found) == [Part(kind, layer) for layer in range(3)]
        assert found == pytest.approx(slow(twin, kind), abs=2e-6)
        assert min(found.values()) > 1e-4


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gpt2", "gpt_neox", "opt", "phi", "bloom", "falcon"])
def test_what_is_dropped_already_is_left_out_and_no_longer_heard(architecture: str) -> None:
    twin = Twin(tiny(architecture))
    twin.drop(Part("attn", 0), Part("mlp", 2), Part("block", 1))
    left = {"attn": [2], "mlp": [0], "block": [0, 2]}
    for kind in KINDS:
        found = importance(twin, kind, IDS, Work())
        assert list(found) == [Part(kind, layer) for layer in left[kind]]
        assert found == pytest.approx(slow(twin, kind), abs=2e-6)


def test_what_is_measured_is_the_twin_with_its_masks() -> None:
    dense = loaded("llama")
    twin, _ = pruned(dense, "magnitude:0.7")
    for kind in KINDS:
        found = importance(twin, kind, IDS, Work())
        assert found == pytest.approx(importance_slowly(twin.model, IDS, kind), abs=2e-6)
        assert found != pytest.approx(importance_slowly(dense.model, IDS, kind), abs=1e-3)


@pytest.mark.parametrize("architecture", ["llama", "gemma2", "gemma3", "olmo2", "gpt_neox", "falcon", "bloom"])
def test_an_attention_that_adds_nothing_does_nothing_and_its_mlp_is_measured_all_the_same(architecture: str) -> None:
    """Then attention and MLP read equal streams, as if they stood side by side."""
    dense = tiny(architecture)
    twin = Twin(dense)
    attention = twin.anatomy.blocks[1].attn
    assert attention is not None
    for name, parameter in dense.get_submodule(attention.modules[0]).named_parameters():
        if parameter.dim() > 1 or name.endswith("bias"):
            parameter.zero_()
    assert importance(twin, "attn", IDS, Work())[Part("attn", 1)] == pytest.approx(0, abs=1e-6)
    for kind in ("mlp", "block"):
        assert importance(twin, kind, IDS, Work()) == pytest.approx(slow(twin, kind), abs=2e-6)


def test_a_layer_that_no_token_reaches_can_not_be_ranked() -> None:
    twin = Twin(tiny("llama"))
    assert Part("mlp", 2) in twin.droppable("mlp")
    twin.model.config.num_hidden_layers = 2
    with pytest.raises(BadInput, match="mlp 2 never ran"):
        importance(twin, "mlp", IDS, Work())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("architecture", ["gemma3", "gpt2", "phi"])
def test_in_one_shot_those_go_that_matter_least_now(architecture: str, kind: str) -> None:
    twin = Twin(tiny(architecture, num_hidden_layers=4, layer_types=None))
    expected = sorted(slow(twin, kind).items(), key=lambda found: found[1])
    for count in (1, 2, 4):
        names = least_important(twin, part(f"drop-{kind}:{count}"), ids, Work())
        assert list(names) == [name for name, _ in expected[:count]]


def uneven(architecture: str, seed: int, grow: float) -> Twin:
    """A model whose later layers add more, so that what is dropped changes which of the others matters least."""
    model = tiny(architecture, seed, num_hidden_layers=4)
    for block in Twin(model).anatomy.blocks:
        for kind in ("attn", "mlp"):
            last = [matrix for matrix in block.matrices if matrix.sublayer == kind][-1]
            model.get_submodule(last.name).weight.mul_(grow**block.layer)
    return Twin(model)


@pytest.mark.parametrize(
    ("architecture", "seed", "grow", "kind"),
    [
        ("llama", 4, 1.6, "attn"),
        ("llama", 4, 1.6, "block"),
        ("gpt_neox", 0, 2.0, "mlp"),
        ("gpt_neox", 0, 2.0, "block"),
        ("gpt2", 2, 1.3, "mlp"),
    ],
)
def test_iteratively_each_is_chosen_in_the_model_without_those_before(
    architecture: str, seed: int, grow: float, kind: str
) -> None:
    twin = uneven(architecture, seed, grow)
    expected: list[Part] = []
    for _ in range(2):
        anew = importance_slowly(twin.dense, IDS, kind, expected)
        expected.append(min(anew, key=anew.__getitem__))
    assert list(least_important(twin, part(f"drop-{kind}-iter:2"), ids, Work())) == expected
    assert set(least_important(twin, part(f"drop-{kind}:2"), ids, Work())) != set(expected)


@pytest.mark.parametrize("method", ["drop-mlp", "drop-mlp-iter"])
def test_only_the_layers_that_are_named_are_chosen_from(method: str) -> None:
    twin = uneven("llama", 0, 1.0)
    found = slow(twin, "mlp")
    among = [min((Part("mlp", layer) for layer in (0, 1, 3)), key=found.__getitem__)]
    assert list(least_important(twin, part(f"{method}:1@layers=0,1,3"), ids, Work())) == among
    assert set(least_important(twin, part(f"{method}:2@layers=0,1"), ids, Work())) == {Part("mlp", 0), Part("mlp", 1)}


@pytest.mark.parametrize("ratio", ["0.25", "0.5", "60%", "0.99"])
def test_a_ratio_is_of_what_can_be_dropped(ratio: str) -> None:
    twin = uneven("llama", 0, 1.0)
    share = float(ratio.removesuffix("%")) / (100 if "%" in ratio else 1)
    assert len(least_important(twin, part(f"drop-attn:{ratio}"), ids, Work())) == removed(share, 4)
    twin.drop(Part("attn", 0), Part("block", 3))
    if removed(share, 2):
        found = least_important(twin, part(f"drop-attn-iter:{ratio}"), ids, Work())
        assert len(found) == removed(share, 2)
        assert set(found) <= {Part("attn", 1), Part("attn", 2)}


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("drop-attn:4", "asks for 4 of 3"),
        ("drop-block-iter:5", "asks for 5 of 3"),
        ("drop-mlp:2@layers=1", "asks for 2 of 1"),
        ("drop-mlp:1@layers=1,7", "names layer 7, which has no such sublayer"),
        ("drop-attn:0.3", "asks for 0 of 3"),
        ("drop-attn:0.5@layers=2", "asks for 0 of 1"),
    ],
)
def test_what_asks_for_too_many_or_for_none_is_refused_before_anything_is_measured(setting: str, reason: str) -> None:
    with pytest.raises(BadInput, match=reason):
        least_important(Twin(tiny("llama")), part(setting), never, Work())


def never() -> Tensor:
    raise AssertionError("the calibration text was asked for")


def test_named_layers_are_dropped_without_measuring() -> None:
    twin = Twin(tiny("llama"))
    assert least_important(twin, part("drop-attn@layers=2,0"), never, Work()) == (Part("attn", 0), Part("attn", 2))


def test_what_a_recurrent_model_does_not_have_is_not_there_to_drop() -> None:
    with pytest.raises(BadInput, match=r"MambaForCausalLM has no attn in use .*Drop whole blocks"):
        least_important(Twin(tiny("mamba")), part("drop-attn:1"), never, Work())


@pytest.mark.parametrize("method", ["drop-block", "drop-attn-iter", "drop-mlp-iter", "drop-block-iter"])
def test_a_twin_that_was_only_asked_is_as_it_was(method: str) -> None:
    twin, _ = pruned(loaded("gemma2"), "magnitude:0.3+drop-attn@layers=1")
    state, answer = twin.state, logits(twin.model)
    least_important(twin, part(f"{method}:2"), ids, Work())
    assert twin.state.hash == state.hash
    assert torch.equal(logits(twin.model), answer)
    asked = iter(range(100))
    stop = 4 if "iter" in method else 1  # in the middle of the second pass where there is one
    work = Work(cancelled=lambda: next(asked) == stop)
    with pytest.raises(Cancelled):
        least_important(twin, part(f"{method}:2"), lambda: ids().flip(1), work)  # the scores of a known text are kept
    assert twin.state.hash == state.hash
    assert torch.equal(logits(twin.model), answer)
    assert not any(module._forward_hooks for module in twin.model.modules())


@pytest.mark.parametrize("setting", ["drop-attn:2", "drop-mlp-iter:2", "drop-block:0.5", "drop-block-iter:1"])
@pytest.mark.parametrize("architecture", ["qwen3", "opt", "falcon"])
def test_what_was_chosen_is_what_the_report_names_and_the_model_lacks(architecture: str, setting: str) -> None:
    dense = loaded(architecture)
    expected = least_important(Twin(dense.model), part(setting), lambda: samples(FEW, dense).ids, Work())
    twin, report = pruned(dense, setting)
    assert set(report.dropped_parts) == set(expected) == twin.state.dropped
    assert f"{setting} dropped {', '.join(map(str, expected))}." in report.notes
    by_hand = Twin(dense.model)
    by_hand.drop(*expected)
    assert torch.equal(logits(twin.model), logits(by_hand.model))
    assert not torch.equal(logits(twin.model), logits(dense.model))


@pytest.mark.parametrize("second", ["drop-attn:1", "drop-mlp:0.5", "drop-mlp-iter:2", "drop-block:1"])
def test_what_is_in_a_dropped_block_is_not_dropped_again(second: str) -> None:
    dense = loaded("llama")
    _, report = pruned(dense, f"drop-block@layers=1+{second}")
    assert "block 1" in report.dropped
    assert len(report.dropped) == 1 + (2 if "2" in second else 1)
    assert not {"attn 1", "mlp 1"} & set(report.dropped)
    with pytest.raises(BadInput, match="asks for 3 of 2"):
        pruned(dense, "drop-block@layers=1+drop-attn:3")
