"""Models load from folders as they are, and everything that can't be used is refused with a sentence."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedTokenizerFast

from probes.models import read as reading
from probes.models.devices import available_bytes
from probes.models.loaded import _info, end_ids, fingerprint, load, named_drops, with_fingerprint
from probes.models.safetensors_header import bytes_needed
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.events import WorkProgressed
from probes.schema.settings import RunSettings
from probes.schema.spec import LoadOptions
from probes.system.progress import Work
from tests.support.forked import with_torch
from tests.support.tiny import ARCHITECTURES, byte_tokenizer, moved, save, tiny

TOKENIZER = byte_tokenizer()
SIZE = len(TOKENIZER)
PROMPT = torch.arange(5, 30)[None]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path) -> Path:
    return save(tmp_path / "llama", tiny("llama", vocab_size=SIZE), TOKENIZER)


def edit(folder: Path, name: str = "config.json", **changes: Any) -> None:
    file = folder / name
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    loud = {key: value for key, value in os.environ.items() if key != "TRANSFORMERS_VERBOSITY"}
    done = with_torch().run(textwrap.dedent(code), env=loud)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


# What loads ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_gives_the_model_that_was_saved(architecture, tmp_path):
    model = tiny(architecture, vocab_size=SIZE)
    loaded = load(str(save(tmp_path / architecture, model, TOKENIZER)))
    assert torch.equal(loaded.model(PROMPT).logits, model(PROMPT).logits)
    assert not loaded.model.training
    assert not any(parameter.requires_grad for parameter in loaded.model.parameters())


def test_what_is_known_of_a_model_is_what_it_is(folder):
    info = load(str(folder)).info
    assert (info.name, info.spec, info.revision) == ("llama", str(folder), "")
    assert (info.architecture, info.layers, info.hidden, info.vocabulary) == ("LlamaForCausalLM", 3, 32, SIZE)
    assert (info.dtype, info.device) == ("float32", "cpu")
    assert info.parameters == sum(weight.numel() for weight in load_file(folder / "model.safetensors").values())


def test_on_a_cpu_weights_are_read_as_float32_unless_asked_otherwise(tmp_path):
    model = moved(tiny("llama", vocab_size=SIZE), torch.bfloat16)
    folder = str(save(tmp_path / "half", model, TOKENIZER))
    assert load(folder).model.dtype is torch.float32
    assert load(folder, LoadOptions(dtype="bfloat16")).model.dtype is torch.bfloat16


def test_a_device_map_is_handed_to_accelerate(folder):
    loaded = load(str(folder), LoadOptions(device_map="auto"))
    assert loaded.info.device == "cpu"
    assert torch.equal(loaded.model(PROMPT).logits, load(str(folder)).model(PROMPT).logits)


def test_a_model_in_several_files_is_read_whole(folder, tmp_path):
    model = tiny("llama", vocab_size=SIZE)
    model.save_pretrained(tmp_path / "sharded", max_shard_size="20KB")
    TOKENIZER.save_pretrained(tmp_path / "sharded")
    assert len(list((tmp_path / "sharded").glob("*.safetensors"))) > 2
    assert torch.equal(load(str(tmp_path / "sharded")).model(PROMPT).logits, model(PROMPT).logits)


def test_loading_says_nothing_on_the_terminal_and_tells_its_progress(folder, capfd):
    events: list[WorkProgressed] = []
    load(str(folder), work=Work(events.append))
    assert capfd.readouterr() == ("", "")
    assert {event.task for event in events} == {"Loading llama"}
    counted = [event.done for event in events if event.unit == "tensors"]
    assert counted == sorted(counted)
    assert len(counted) > 20


def test_loading_works_and_is_silent_where_an_interface_has_replaced_standard_error(folder):
    ended = run_python(f"""
        import multiprocessing, sys
        multiprocessing.set_start_method("spawn")
        written = []
        class Replaced:
            def write(self, text): written.append(text)
            def flush(self): pass
            def isatty(self): return True
            def fileno(self): return -1
        sys.stderr = Replaced()
        from probes.models.loaded import load
        print(load({str(folder)!r}).info.name, written)
    """)
    assert ended.stdout == "llama []\n", ended.stderr


def test_loading_can_be_cancelled_half_way(folder):
    told = []

    def cancelled() -> bool:
        return len(told) > 10

    with pytest.raises(Cancelled):
        load(str(folder), work=Work(told.append, cancelled))
    assert len(told) == 11
    assert load(str(folder)).info.name == "llama"


# What is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spec", ["./nowhere", "/nowhere/at/all", "~/nowhere", "nowhere.gguf", "a/b/c", ""])
def test_what_is_not_there_is_refused(spec):
    with pytest.raises(BadInput, match=r"Model not found|No model"):
        load(spec)


def test_a_hub_id_that_is_not_cached_says_so_offline():
    with pytest.raises(Failure, match=r"owner/name is not in the hub's cache, and HF_HUB_OFFLINE is set.*folder"):
        load("owner/name")


def test_what_is_no_hub_id_either_is_refused():
    with pytest.raises(BadInput, match="not a file, folder or hub id"):
        load("what is this")


def test_a_file_that_is_no_gguf_is_refused(folder):
    with pytest.raises(BadInput, match=r"not a .gguf file"):
        load(str(folder / "model.safetensors"))


def test_a_folder_without_a_configuration_is_refused_naming_what_it_holds(tmp_path):
    (tmp_path / "notes.txt").write_text("")
    with pytest.raises(BadInput, match=r"no config.json; it holds .*notes.txt"):
        load(str(tmp_path))


@pytest.mark.parametrize("text", ["", "[]", "{", '{"model_type": "llama", "hidden_size": "wide"}', "\xff"])
def test_a_broken_configuration_is_refused(folder, text):
    (folder / "config.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput):
        load(str(folder))


def test_an_architecture_that_is_not_known_is_refused(folder):
    edit(folder, model_type="imagined", architectures=["ImaginedForCausalLM"])
    with pytest.raises(BadInput, match=r"config.json can't be used: .*model type `imagined`"):
        load(str(folder))


def test_a_model_that_writes_no_text_is_refused(folder):
    edit(folder, model_type="vit", architectures=["ViTModel"])
    with pytest.raises(BadInput, match="does not know as a causal language model"):
        load(str(folder))


def test_a_folder_without_a_tokenizer_is_refused_unless_one_is_given(tmp_path):
    folder = str(save(tmp_path / "mute", tiny("llama", vocab_size=SIZE)))
    with pytest.raises(BadInput, match="No tokenizer"):
        load(folder)
    assert load(folder, tokenizer=TOKENIZER).tokenizer is TOKENIZER


def test_a_tokenizer_that_turns_text_into_nothing_is_no_tokenizer(folder):
    from tokenizers import Tokenizer, models

    PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE())).save_pretrained(folder)
    with pytest.raises(BadInput, match="No tokenizer"):
        load(str(folder))


def test_weights_that_are_missing_are_refused_and_not_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    lacking = r"lack 1 of the model's tensors, for example model\.layers\.1\.mlp\.up_proj\.weight"
    with pytest.raises(BadInput, match=lacking):
        load(str(folder))


def test_weights_of_another_shape_are_refused(folder):
    edit(folder, intermediate_size=48)
    with pytest.raises(BadInput):
        load(str(folder))


@pytest.mark.parametrize("keep", [0, 5, 200, -100])
def test_a_file_cut_short_is_refused(folder, keep):
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:keep])
    with pytest.raises(BadInput, match=r"Broken weights|can't be loaded"):
        load(str(folder))


def test_a_missing_file_of_several_is_named(tmp_path):
    tiny("llama", vocab_size=SIZE).save_pretrained(tmp_path, max_shard_size="20KB")
    TOKENIZER.save_pretrained(tmp_path)
    (tmp_path / "model-00002-of-00005.safetensors").unlink(missing_ok=True)
    sorted(tmp_path.glob("*.safetensors"))[-1].unlink()
    with pytest.raises(BadInput, match=r"has no model-0000\d-of-0000\d\.safetensors"):
        load(str(tmp_path))


def test_a_models_own_code_is_refused(folder):
    edit(folder, model_type="homemade", auto_map={"AutoModelForCausalLM": "modeling.Homemade"})
    (folder / "modeling.py").write_text("raise SystemExit('it ran')")
    with pytest.raises(BadInput, match=r"Python code that would run.*--trust-remote-code"):
        load(str(folder))


@pytest.mark.parametrize("listed", [[1, 2], [False, True, True], [None, True, True], [None, 1, 2]])
def test_a_drop_list_that_only_its_own_code_obeys_is_refused_unless_the_caller_obeys_it(folder, listed):
    edit(folder, drop_attn_list=listed, drop_mlp_list=[0])
    with pytest.raises(BadInput, match=r"nothing would be dropped\..* --prune drop-attn@layers=1,2\+drop-mlp@layers=0"):
        load(str(folder))
    loaded = load(str(folder), drops_obeyed=True)
    assert named_drops(loaded.model.config.to_dict()) == {"attn": (1, 2), "mlp": (0,)}


@pytest.mark.parametrize("listed", [[], None, [False, False], [None]])
def test_a_drop_list_that_drops_nothing_is_none(folder, listed):
    edit(folder, drop_mlp_list=listed)
    assert load(str(folder)).info.layers == 3


def test_pickled_weights_are_refused_unless_allowed(folder):
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match=r"Pickled weights.*--allow-pickle"):
        load(str(folder))
    allowed = load(str(folder), LoadOptions(allow_pickle=True))
    assert torch.equal(allowed.model(PROMPT).logits, tiny("llama", vocab_size=SIZE)(PROMPT).logits)


def test_a_folder_without_weights_is_refused(folder):
    (folder / "model.safetensors").unlink()
    with pytest.raises(BadInput, match="No weights"):
        load(str(folder))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "tpu"}, "'tpu' is not a device"),
        ({"device": "cuda:99"}, "no cuda:99"),
        ({"dtype": "int3"}, "'int3' is not a supported dtype"),
        ({"device": "cpu", "device_map": "auto"}, "exclude each other"),
        ({"device_map": "sideways"}, "'sideways' is not a device map"),
        ({"device_map": "absent.json"}, "absent.json can't be read: No such file"),
        ({"device_map": "auto", "max_memory": "cpu=much"}, "'cpu=much' is not a limit of memory"),
        ({"max_memory": "cpu=2GB"}, "--max-memory has no effect without a device map"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, options, sentence):
    with pytest.raises(BadInput, match=sentence):
        load(str(folder), LoadOptions(**options))


def test_a_model_too_large_for_memory_is_refused_before_it_fills_it(folder, monkeypatch):
    monkeypatch.setattr(reading, "available_bytes", lambda device: 1000)
    with pytest.raises(Failure, match=r"Out of memory: llama needs .* GB .* free on cpu.*--dtype.*--device-map"):
        load(str(folder))


def test_what_torch_holds_on_a_gpu_for_tensors_to_come_counts_as_free(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 9000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5000)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 2000)
    assert available_bytes(torch.device("cuda:0")) == 4000


def test_a_device_map_is_told_as_the_devices_that_it_names(folder):
    loaded = load(str(folder), LoadOptions(device_map="cpu"))
    assert loaded.info.device == "cpu"
    setattr(loaded.model, "hf_device_map", {"model": 0, "lm_head": "disk"})  # noqa: B010 - a GPU by its number, as accelerate has it
    assert _info(loaded.model, "", "", "", "").device == "cpu,disk"


def test_the_memory_a_model_needs_follows_the_dtype(folder):
    files = (folder / "model.safetensors",)
    weights = load_file(files[0])
    assert bytes_needed(files, None) == sum(w.numel() * 4 for w in weights.values())
    assert bytes_needed(files, torch.bfloat16) == sum(w.numel() * 2 for w in weights.values())


@pytest.mark.skipif(sys.platform != "linux", reason="address space is limited the Linux way")
def test_running_out_of_memory_while_loading_is_said_in_a_sentence(tmp_path):
    model = tiny("llama", vocab_size=SIZE, hidden_size=1024, intermediate_size=8192, num_hidden_layers=4)
    folder = save(tmp_path / "large", model, TOKENIZER)
    ended = run_python(f"""
        import resource, psutil
        from probes.schema.errors import Failure
        from probes.models.loaded import load
        used = psutil.Process().memory_info().vms
        resource.setrlimit(resource.RLIMIT_AS, (used + 300_000_000,) * 2)
        try:
            load({str(folder)!r})
        except Failure as problem:
            print(problem)
    """)
    assert ended.stdout.startswith("Out of memory: large needs 0.5 GB"), ended.stdout + ended.stderr


# Ends ---------------------------------------------------------------------------------------------------------


SETTINGS = RunSettings("a")


def test_every_token_that_ends_a_text_is_known(folder):
    end, chat_end = TOKENIZER.convert_tokens_to_ids(["<|endoftext|>", "<|end|>"])
    assert end_ids(load(str(folder)), SETTINGS) == {end, chat_end}
    edit(folder, "generation_config.json", eos_token_id=[end, TOKENIZER.convert_tokens_to_ids("<|system|>")])
    assert end_ids(load(str(folder)), SETTINGS) == {end, chat_end, TOKENIZER.convert_tokens_to_ids("<|system|>")}


def test_an_end_that_is_an_ordinary_token_to_the_tokenizer_is_a_default_nobody_meant(folder):
    ordinary = TOKENIZER.convert_tokens_to_ids("e")
    edit(folder, eos_token_id=ordinary)
    edit(folder, "generation_config.json", eos_token_id=ordinary)
    assert ordinary not in end_ids(load(str(folder)), SETTINGS)


# Fingerprints -------------------------------------------------------------------------------------------------


def test_a_fingerprint_is_taken_once_and_known_at_the_next_start(folder):
    first = load(str(folder))
    assert first.info.fingerprint == ""
    taken = with_fingerprint(first).info.fingerprint
    assert taken == fingerprint(tiny("llama", vocab_size=SIZE))
    assert load(str(folder)).info.fingerprint == taken
    assert load(str(folder), LoadOptions(dtype="bfloat16")).info.fingerprint == ""


def test_a_fingerprint_is_not_believed_of_files_that_changed(folder):
    before = with_fingerprint(load(str(folder))).info.fingerprint
    tiny("llama", seed=1, vocab_size=SIZE).save_pretrained(folder)
    again = load(str(folder))
    assert again.info.fingerprint == ""
    assert with_fingerprint(again).info.fingerprint != before
