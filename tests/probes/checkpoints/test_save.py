"""A twin saved as a plain folder is what anybody else gets who loads it, or it is not saved."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from transformers import AutoTokenizer, PreTrainedModel
from transformers.models.auto import AutoModelForCausalLM

from probes.checkpoints import provenance
from probes.checkpoints import save as saving
from probes.checkpoints.inspect import inspect
from probes.models import read as reading
from probes.pair import Pair, load_pair
from probes.schema.errors import BadInput, Cancelled, Failure
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.system.progress import Work
from tests.support.prune_models import TOKENIZER, logits
from tests.support.tiny import ARCHITECTURES, save, tiny

SIZE = len(TOKENIZER)
LITTLE = CalibrationSpec(samples=4, length=16)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))


def pruned(tmp_path: Path, setting: str, architecture: str = "llama", **changes: Any) -> Pair:
    dense = save(tmp_path / "dense", tiny(architecture, vocab_size=SIZE, **changes), TOKENIZER)
    return load_pair(PairSpec(dense=str(dense), prune=parse(setting), calibration=LITTLE))


def anybodys(folder: Path) -> PreTrainedModel:
    """The folder as a program reads it that has never heard of this one."""
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    return model


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("setting", ["magnitude:0.5", "drop-block@layers=1", "drop-attn@layers=0+drop-mlp@layers=2"])
def test_a_saved_twin_loads_plainly_and_gives_its_logits(architecture, setting, tmp_path):
    pair = pruned(tmp_path, setting, architecture)
    folder = pair.save(tmp_path / "out").folder
    assert torch.equal(logits(anybodys(folder)), logits(pair.pruned.model))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("the king").input_ids == TOKENIZER("the king").input_ids


def test_everything_at_once_is_saved_as_well(tmp_path):
    setting = "wanda:0.5+neurons:0.25+drop-block@layers=2+drop-attn@layers=3+drop-mlp@layers=1"
    pair = pruned(tmp_path, setting, num_hidden_layers=5)
    saved = pair.save(tmp_path / "out")
    model = anybodys(saved.folder)
    assert torch.equal(logits(model), logits(pair.pruned.model))
    assert model.config.num_hidden_layers == 4
    assert (model.config.drop_attn_list, model.config.drop_mlp_list) == ([2], [1])
    assert saved.report.dropped == ("attn 3", "block 2", "mlp 1")


@pytest.mark.parametrize("setting", ["magnitude:0.5", "drop-block@layers=1", "magnitude:0.5+drop-mlp@layers=2"])
def test_what_is_read_again_takes_no_memory_of_its_own(setting, tmp_path, monkeypatch):
    pair = pruned(tmp_path, setting)
    read: list[tuple[int, int]] = []

    def spied(part, plain, *rest):
        again = read_again(part, plain, *rest)
        theirs = {tensor.data_ptr() for tensor in plain.state_dict().values()}
        read.append((len(theirs), len(theirs & {tensor.data_ptr() for tensor in again.model.state_dict().values()})))
        return again

    read_again = saving._read_again
    monkeypatch.setattr(saving, "_read_again", spied)
    monkeypatch.setattr(reading, "available_bytes", lambda _device: 0)  # so it must not be asked for either
    pair.save(tmp_path / "out")
    ((all_of_them, shared),) = read
    assert shared == all_of_them > 0


def test_zeros_stay_in_place_and_dense_weights_stay_dense(tmp_path):
    pair = pruned(tmp_path, "magnitude:2:4@mlp")
    model = anybodys(pair.save(tmp_path / "out").folder)
    for name, weight in model.named_parameters():
        assert torch.equal(weight, pair.pruned.model.get_parameter(name))
    assert (model.model.layers[0].mlp.up_proj.weight == 0).float().mean() == 0.5


def test_dropped_blocks_are_not_in_the_folder(tmp_path):
    pair = pruned(tmp_path, "drop-block@layers=0,2", "gemma3", num_hidden_layers=3)
    model = anybodys(pair.save(tmp_path / "out").folder)
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert config["num_hidden_layers"] == 1
    assert config["layer_types"] == ["sliding_attention"]
    assert len(model.model.layers) == 1
    assert "drop_attn_list" not in config


def test_a_saved_folder_is_compared_as_the_twin_it_was(tmp_path):
    settings = RunSettings("the king", raw=True, follow=Follow.DENSE, steps=4)

    def kls(of: Pair) -> list[float]:
        with of.lockstep(settings) as lockstep:
            return [record.own.p.kl for record in lockstep if record.own]

    here = pruned(tmp_path, "drop-attn@layers=1+magnitude:0.3@mlp")
    here.save(tmp_path / "out")
    again = load_pair(PairSpec(dense=str(tmp_path / "dense"), pruned=str(tmp_path / "out")))
    assert kls(again) == kls(here)
    assert again.report.dropped == ("attn 1",)
    assert again.report.zeroed == here.report.zeroed


def test_the_folder_says_how_it_was_made(tmp_path):
    pair = pruned(tmp_path, "wanda:0.5")
    saved = pair.save(tmp_path / "out")
    said = provenance.read_provenance(tmp_path / "out")
    assert said == saved.provenance
    assert said.setting == "wanda:0.5"
    assert said.dense == pair.dense.info
    assert len(said.dense.fingerprint) == 64
    assert said.calibration == pair.report.calibration
    assert said.mask_hash == pair.report.mask_hash
    assert set(said.versions) == {"phier", "torch", "transformers", "python"}
    found = inspect(str(tmp_path / "out"), str(tmp_path / "dense"))
    assert found.unchanged is True
    assert found.provenance == said


def test_weights_that_were_changed_after_saving_are_noticed(tmp_path):
    pruned(tmp_path, "magnitude:0.5").save(tmp_path / "out")
    model = anybodys(tmp_path / "out")
    model.model.norm.weight.data += 1
    model.save_pretrained(tmp_path / "out")
    assert inspect(str(tmp_path / "out")).unchanged is False
    assert inspect(str(tmp_path / "out"), options=LoadOptions(dtype="bfloat16")).unchanged is None


def test_a_file_about_the_making_that_is_damaged_is_refused(tmp_path):
    pruned(tmp_path, "magnitude:0.5").save(tmp_path / "out")
    (tmp_path / "out" / "phier.json").write_text('{"setting": 3')
    with pytest.raises(BadInput, match=r"phier\.json can't be read"):
        inspect(str(tmp_path / "out"))


def test_every_file_can_be_read_by_whoever_can_read_the_configuration(tmp_path):
    folder = pruned(tmp_path, "magnitude:0.5").save(tmp_path / "out").folder
    assert len({path.stat().st_mode for path in folder.iterdir()}) == 1


def test_a_folder_that_holds_something_is_never_written_over(tmp_path):
    pair = pruned(tmp_path, "magnitude:0.5")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("all of it")
    with pytest.raises(BadInput, match="is not empty"):
        pair.save(tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.tex"]
    (tmp_path / "out" / "thesis.tex").unlink()
    assert pair.save(tmp_path / "out").folder == tmp_path / "out"


def left(tmp_path: Path) -> set[str]:
    return {path.name for path in tmp_path.iterdir()} - {"dense", "cache"}


def test_what_goes_wrong_leaves_nothing_behind(tmp_path, monkeypatch):
    pair = pruned(tmp_path, "magnitude:0.5")
    with pytest.raises(Cancelled):
        pair.save(tmp_path / "out", Work(cancelled=lambda: True))
    assert left(tmp_path) == set()

    def full(*_args: Any, **_kwargs: Any) -> None:
        raise SafetensorError("No space left on device")

    monkeypatch.setattr(PreTrainedModel, "save_pretrained", full)
    with pytest.raises(Failure, match="No space left"):
        pair.save(tmp_path / "out")
    assert left(tmp_path) == set()


def test_a_disk_without_room_is_noticed_before_writing(tmp_path, monkeypatch):
    pair = pruned(tmp_path, "magnitude:0.5")
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 10})())
    with pytest.raises(Failure, match="are free"):
        pair.save(tmp_path / "out")
    assert left(tmp_path) == set()


def test_a_drop_that_a_plain_folder_can_not_say_is_refused(tmp_path):
    pair = pruned(tmp_path, "drop-mlp@layers=1", "mixtral")
    with pytest.raises(BadInput, match="Drop the whole block instead"):
        pair.save(tmp_path / "out")
    assert left(tmp_path) == set()


def test_a_folder_that_would_answer_otherwise_is_not_kept(tmp_path, monkeypatch):
    pair = pruned(tmp_path, "drop-attn@layers=1")
    monkeypatch.setattr(saving, "_silence", lambda *_args: None)
    with pytest.raises(Failure, match="does not give the logits"):
        pair.save(tmp_path / "out")
    assert left(tmp_path) == set()


def test_what_was_made_elsewhere_is_not_saved_again(tmp_path):
    dense = save(tmp_path / "dense", tiny("llama", vocab_size=SIZE), TOKENIZER)
    with pytest.raises(BadInput, match="was not pruned here"):
        load_pair(PairSpec(dense=str(dense), pruned=str(dense))).save(tmp_path / "out")
