"""A GGUF file gives the model that is in it, by way of a copy that is made once."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from probes.models.loaded import end_ids, load
from probes.models.prompting import read_prompt
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.events import WorkProgressed
from probes.schema.settings import RunSettings
from probes.system import subprocesses as child
from probes.system.progress import Work
from tests.support.gguf_file import convert_here, write_gguf
from tests.support.tiny import byte_tokenizer, tiny

MODEL = tiny("llama", vocab_size=len(byte_tokenizer()))
PROMPT = torch.arange(5, 30)[None]


IN_A_PROCESS = child.run


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    convert_here(monkeypatch)


@pytest.fixture
def gguf(tmp_path) -> Path:
    return write_gguf(tmp_path / "small.gguf", MODEL)


@pytest.fixture
def conversions(request, monkeypatch) -> list[Any]:
    """One entry for each conversion that really ran. The first is run by the fixture's parameter, if it has one."""
    ran = []
    here = child.run
    first = getattr(request, "param", here)

    def counted(*args, **kwargs):
        ran.append(args)
        return (here if ran[1:] else first)(*args, **kwargs)

    monkeypatch.setattr(child, "run", counted)
    return ran


@pytest.mark.parametrize("conversions", [IN_A_PROCESS], indirect=True)
def test_a_gguf_file_gives_its_model_and_tokenizer_and_is_converted_once(gguf, conversions, tmp_path, capfd):
    loaded = load(str(gguf))
    assert torch.equal(loaded.model(PROMPT).logits, MODEL(PROMPT).logits)
    assert (loaded.info.name, loaded.info.spec, loaded.info.dtype) == ("small", str(gguf), "float32")
    settings = RunSettings("the ringing cat 🙂")
    assert read_prompt(loaded.tokenizer, settings) == read_prompt(byte_tokenizer(), settings)
    assert end_ids(loaded, settings) == set(byte_tokenizer().convert_tokens_to_ids(["<|endoftext|>", "<|end|>"]))

    # Found again under another name, and as the one GGUF file of a folder.
    moved = tmp_path / "folder" / "small.gguf"
    moved.parent.mkdir()
    gguf.rename(moved)
    assert torch.equal(load(str(moved)).model(PROMPT).logits, MODEL(PROMPT).logits)
    assert torch.equal(load(str(moved.parent)).model(PROMPT).logits, MODEL(PROMPT).logits)
    assert len(conversions) == 1
    assert capfd.readouterr() == ("", "")

    # Another content under the same name is another model.
    other = tiny("llama", seed=1, vocab_size=len(byte_tokenizer()))
    write_gguf(moved, other)
    assert torch.equal(load(str(moved)).model(PROMPT).logits, other(PROMPT).logits)
    assert len(conversions) == 2


def test_a_copy_that_was_damaged_is_made_anew(gguf, conversions):
    (weights,) = load(str(gguf)).files
    when = weights.stat().st_mtime_ns
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"\0\0\0\0")
    os.utime(weights, ns=(when, when))
    assert not torch.equal(load(str(gguf)).model(PROMPT).logits, MODEL(PROMPT).logits)
    assert torch.equal(load(str(gguf), thorough=True).model(PROMPT).logits, MODEL(PROMPT).logits)
    assert len(conversions) == 2


def test_a_conversion_can_be_cancelled_and_leaves_nothing(gguf, tmp_path, monkeypatch):
    monkeypatch.setattr(child, "run", IN_A_PROCESS)
    told = []
    with pytest.raises(Cancelled):
        load(str(gguf), work=Work(told.append, lambda: len(told) > 3))
    assert told[-1].task == "Converting small (once)"
    assert [path.suffix for path in (tmp_path / "cache" / "models").iterdir()] == [".lock"]


def test_writing_the_copy_is_told_in_bytes(gguf, tmp_path, monkeypatch):
    told = []

    def write(command, work, task, *, log, watch, **_):
        log.write_text("Loading weights: 100%|##########| 3/3 [00:01<00:00, 1it/s]")
        watch()
        (Path(command[-2]) / "model.safetensors").write_bytes(bytes(1000))
        watch()
        raise OSError("enough")

    monkeypatch.setattr(child, "run", write)
    with pytest.raises(Failure, match="No space for a copy"):
        load(str(gguf), work=Work(told.append))
    size = 4 * sum(weight.numel() for weight in MODEL.parameters())
    converting = [event for event in told if event.task.startswith("Converting")]
    assert converting[0] == WorkProgressed("Converting small (once)")
    assert converting[1] == WorkProgressed("Converting small (once): writing", 1000, size, "bytes")


def test_a_file_that_is_no_gguf_is_refused_with_a_reason(tmp_path):
    (tmp_path / "text.gguf").write_text("this is a text and no model")
    with pytest.raises(BadInput, match=r"GGUF file: .*text\.gguf could not be converted: "):
        load(str(tmp_path / "text.gguf"))


def test_a_folder_with_several_gguf_files_asks_which(gguf):
    write_gguf(gguf.with_name("other.gguf"), MODEL)
    with pytest.raises(BadInput, match=r"several GGUF files: other\.gguf, small\.gguf"):
        load(str(gguf.parent))


def test_a_file_that_lacks_a_tensor_is_refused_and_not_filled_with_chance(tmp_path):
    file = write_gguf(tmp_path / "small.gguf", MODEL, without="blk.1.ffn_up.weight")
    missing = r"1 of the model's tensors are missing, for example model\.layers\.1\.mlp\.up_proj\.weight"
    with pytest.raises(BadInput, match=missing):
        load(str(file))


def test_tensors_that_the_converted_model_has_no_use_for_are_told_at_every_start(tmp_path):
    more = {
        "blk.1.attn_q.bias": np.ones(32, np.float32),
        "blk.0.attn_q_norm.weight": np.ones(8, np.float32),
        "rope_freqs.weight": np.full(4, 3, np.float32),
        "blk.3.nextn.eh_proj.weight": np.ones((4, 4), np.float32),
    }
    file = write_gguf(tmp_path / "small.gguf", MODEL, more=more)
    for _ in range(2):
        loaded = load(str(file))
        (warning,) = loaded.warnings
        named = "blk.0.attn_q_norm.weight, blk.1.attn_q.bias, rope_freqs.weight"
        assert f"small's files hold 3 tensors such as {named}, which" in warning
        assert "a tensor blk.3.nextn.eh_proj.weight, for predicting tokens" in loaded.notes[0]


def test_factors_of_one_and_a_head_stored_twice_are_told_nothing_of(tmp_path):
    more = {
        "rope_freqs.weight": np.ones(4, np.float32),
        "output.weight": MODEL.lm_head.weight.numpy(),
    }
    loaded = load(str(write_gguf(tmp_path / "small.gguf", MODEL, more=more)))
    assert torch.equal(loaded.model(PROMPT).logits, MODEL(PROMPT).logits)
    assert loaded.warnings == ()
