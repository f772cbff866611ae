"""A model whose weights a device map keeps on the disk is pruned, stepped, scored and restored as one in memory."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel

from probes.models.fingerprint import fingerprint
from probes.models.loaded import Loaded, load
from probes.models.offloaded import any_offloaded
from probes.prune.apply import apply
from probes.schema.errors import BadInput
from probes.schema.prune_setting import parse
from probes.schema.spec import LoadOptions
from probes.twin.anatomy import dissect
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState
from tests.support.prune_models import FEW, TOKENIZER, logits
from tests.support.tiny import save, tiny

ARCHITECTURES = ("llama", "qwen3", "gemma3", "gpt2", "gpt_neox", "opt", "mixtral")


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


def on_disk(model: PreTrainedModel) -> dict[str, str]:
    """A map that keeps every block but the first on the disk, and the rest on the CPU."""
    blocks = [block.name for block in dissect(model).blocks]
    stack = blocks[0].rpartition(".")[0]
    modules: dict[str, str] = {}
    above = {stack.rpartition(".")[0]}
    while above:  # the siblings of the list of blocks, and of the modules that hold it
        path = above.pop()
        for name, _ in model.get_submodule(path).named_children():
            whole = f"{path}.{name}" if path else name
            if not stack.startswith(whole):
                modules[whole] = "cpu"
        if path:
            above.add(path.rpartition(".")[0])
    return modules | {name: "cpu" if name == blocks[0] else "disk" for name in blocks}


def both(architecture: str, folder: Path) -> tuple[Loaded, Loaded]:
    """The same model in memory and with most of its blocks on the disk."""
    model = tiny(architecture, vocab_size=len(TOKENIZER))
    save(folder / "model", model, TOKENIZER)
    (folder / "map.json").write_text(json.dumps(on_disk(model)))
    plain = load(str(folder / "model"))
    spread = load(str(folder / "model"), LoadOptions(device_map=str(folder / "map.json")))
    assert any_offloaded(spread.model)
    assert spread.info.device == "cpu,disk"
    return plain, spread


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_settings_give_the_masks_and_logits_of_a_model_in_memory_and_are_undone_exactly(
    architecture: str, tmp_path: Path
) -> None:
    plain, spread = both(architecture, tmp_path)
    assert torch.equal(logits(spread.model), logits(plain.model))
    assert fingerprint(spread.model) == fingerprint(plain.model)
    twin, other = Twin(spread.model), Twin(plain.model)
    states: list[tuple[TwinState, torch.Tensor]] = []
    for setting in ("wanda:0.5", "sparsegpt:2:4+drop-mlp@layers=1", "neurons:0.25+heads:0.25+magnitude:0.3"):
        if architecture == "mixtral" and "neurons" in setting:
            setting = "magnitude-global:0.3"
        reports = [
            apply(one, parse(setting), loaded, FEW, keep=False) for one, loaded in ((twin, spread), (other, plain))
        ]
        assert reports[0].mask_hash == reports[1].mask_hash
        assert (reports[0].zeroed, reports[0].targeted) == (reports[1].zeroed, reports[1].targeted)
        assert torch.equal(logits(twin.model), logits(other.model))
        assert torch.equal(logits(spread.model), logits(plain.model))
        states.append((twin.state, logits(twin.model)))
    for state, expected in states:
        twin.set_state(state)
        assert torch.equal(logits(twin.model), expected)
    twin.restore()
    assert torch.equal(logits(twin.model), logits(plain.model))


def test_what_does_not_fit_into_the_limit_of_memory_is_on_the_disk(tmp_path: Path) -> None:
    plain, _ = both("qwen3", tmp_path)
    limited = load(str(tmp_path / "model"), LoadOptions(device_map="auto", max_memory="cpu=150KB"))
    assert limited.info.device == "cpu,disk"
    assert limited.info.parameters == plain.info.parameters
    assert torch.equal(logits(limited.model), logits(plain.model))


@pytest.mark.parametrize(
    ("text", "sentence"),
    [("[1]", "names no module"), ("{", "it is not JSON"), ('{"model": "tape"}', "puts model on 'tape'")],
)
def test_a_file_that_is_no_device_map_is_refused(text: str, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "map.json").write_text(text)
    with pytest.raises(BadInput, match=sentence):
        load("unread", LoadOptions(device_map=str(tmp_path / "map.json")))


def test_a_map_that_forgets_a_module_is_refused(tmp_path: Path) -> None:
    save(tmp_path / "model", tiny("qwen3", vocab_size=len(TOKENIZER)), TOKENIZER)
    (tmp_path / "map.json").write_text('{"model.embed_tokens": "cpu", "model.layers.0": "disk"}')
    with pytest.raises(BadInput, match="can't be loaded from"):
        load(str(tmp_path / "model"), LoadOptions(device_map=str(tmp_path / "map.json")))
