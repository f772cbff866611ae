"""A cache folder that takes nothing costs time, never the run: a note says so, and every figure is what it was."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from probes.checkpoints.inspect import inspect
from probes.models.gguf_convert import Unwritten, convert
from probes.models.loaded import load, with_fingerprint
from probes.pair import load_pair
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec, PairSpec
from probes.system import cache_folder as cache
from probes.system import kept_folder as kept
from probes.system import subprocesses as child
from probes.system.cache_folder import Unkept, hash_file, remember, sha256
from probes.system.kept_folder import keep, kept_or_temporary
from probes.system.progress import Work
from tests.support.bitmask_model import made, sparse
from tests.support.gguf_file import write_gguf
from tests.support.tiny import byte_tokenizer, save, tiny

MODEL = tiny("llama", vocab_size=len(byte_tokenizer()))
IDS = torch.arange(5, 30)[None]
FEW = CalibrationSpec(samples=4, length=16)


@pytest.fixture(params=["a file in its place", "a file in place of each folder", "a full disk", "a read-only disk"])
def place(request, tmp_path, monkeypatch) -> Path:
    """A cache folder that takes nothing."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("PHIER_CACHE", str(folder))
    if request.param == "a file in its place":
        folder.write_text("")
    elif request.param == "a file in place of each folder":
        folder.mkdir()
        for name in ("digests", "models", "calibration", "pruned", "demo"):
            (folder / name).write_text("")
    elif request.param == "a full disk":

        def full(path: Path, text: str) -> None:
            if folder in path.parents:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            real(path, text)

        real: Any = getattr(cache, "replace_file")  # noqa: B009
        monkeypatch.setattr(cache, "replace_file", full)
        monkeypatch.setattr(kept, "replace_file", full)
    else:

        def refused(path: Path, *args: Any, **kwargs: Any) -> None:
            if path == folder or folder in path.parents:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS))
            mkdir(path, *args, **kwargs)

        mkdir = Path.mkdir
        monkeypatch.setattr(Path, "mkdir", refused)
    return folder


def test_a_plain_folder_is_loaded_with_a_note(place, tmp_path):
    folder = save(tmp_path / "model", MODEL, byte_tokenizer())
    found = with_fingerprint(load(str(folder)))
    assert torch.equal(found.model(IDS).logits, MODEL(IDS).logits)
    assert len(found.info.fingerprint) == 64
    (note,) = found.notes
    assert note.startswith(f"The cache folder {place} can't be written (")
    assert note.endswith("so nothing is kept for later starts.")


@pytest.fixture(autouse=True)
def _own_temporary_folder():
    kept._temporary_folder.cache_clear()


@pytest.fixture
def conversions(monkeypatch) -> list[str]:
    """Stands in for the program that converts; the folders that it was asked to fill."""
    asked: list[str] = []

    def run(command: list[str], *args: Any, **kwargs: Any) -> child.Ended:
        asked.append(command[-2])
        save(Path(command[-2]), MODEL, byte_tokenizer())
        return child.Ended(0, "")

    monkeypatch.setattr(child, "run", run)
    return asked


def test_an_inspected_folder_has_the_note_once(place, tmp_path):
    folder = str(save(tmp_path / "model", MODEL, byte_tokenizer()))
    assert sum("can't be written" in note for note in inspect(folder, folder).report.notes) == 1


def test_a_gguf_is_converted_into_a_temporary_folder_with_a_note_and_once(place, tmp_path, conversions):
    gguf = write_gguf(tmp_path / "small.gguf", MODEL)
    found = load(str(gguf))
    assert torch.equal(found.model(IDS).logits, MODEL(IDS).logits)
    assert place not in found.files[0].parents
    assert any(f"is in {found.files[0].parents[1]} until the program ends" in note for note in found.notes)
    in_temporary = [folder for folder in conversions if place not in Path(folder).parents]
    assert torch.equal(load(str(gguf)).model(IDS).logits, MODEL(IDS).logits)
    assert [folder for folder in conversions if place not in Path(folder).parents] == in_temporary


def test_a_former_sparse_format_is_unpacked_into_a_temporary_folder_with_a_note(place, tmp_path):
    folder = made(tmp_path / "model", "sparse-bitmask", sparse("sparse-bitmask"))
    found = load(str(folder))
    expected = torch.load(folder.with_suffix(".expected"))
    assert torch.equal(found.model.model.layers[1].mlp.up_proj.weight, expected["model.layers.1.mlp.up_proj.weight"])
    assert any("until the program ends" in note for note in found.notes)


def test_own_text_is_written_and_masks_are_made_with_one_note(place, tmp_path, monkeypatch):
    folder = save(tmp_path / "model", MODEL, byte_tokenizer())
    wanted = PairSpec(dense=str(folder), prune=parse("wanda:0.5"), calibration=FEW)
    pair = load_pair(wanted)
    assert pair.report is not None
    assert pair.report.notes[-1].startswith(f"The cache folder {place} can't be written (")
    assert sum("can't be written" in note for note in pair.every_note) == 1
    monkeypatch.undo()
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "elsewhere"))
    again = load_pair(wanted).report
    assert again is not None
    assert again.mask_hash == pair.report.mask_hash
    assert again.calibration == pair.report.calibration


def test_a_digest_is_taken_with_a_note(place, tmp_path):
    file = tmp_path / "file"
    file.write_bytes(b"abc")
    work = Work()
    assert sha256(file, work, "hashing") == hash_file(file, Work(), "hashing")
    assert sha256(file, work, "hashing") == hash_file(file, Work(), "hashing")
    assert len(work.notes) == 1
    with pytest.raises(Unkept, match=r"can't be written .*PHIER_CACHE"):
        remember("kind", "signature", "digest")


def test_a_copy_for_which_there_is_no_room_anywhere_is_refused_with_both_places(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))

    def full(part: Path) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(
        Failure, match=r"neither .*cache \(No space left on device\) nor .* \(No space left on device\)"
    ):
        kept_or_temporary(tmp_path / "cache" / "copy", lambda place: keep(place, full, Work(), "copying"), Work())


def test_a_conversion_that_fills_the_disk_is_made_elsewhere(tmp_path, monkeypatch, conversions):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    gguf = write_gguf(tmp_path / "small.gguf", MODEL)
    run, ran = child.run, []

    def full_at_first(command: list[str], *args: Any, **kwargs: Any) -> child.Ended:
        ran.append(command)
        if len(ran) == 1:
            return child.Ended(child.UNWRITTEN, "No space left on device (os error 28)")
        return run(command, *args, **kwargs)

    monkeypatch.setattr(child, "run", full_at_first)
    found = load(str(gguf))
    assert torch.equal(found.model(IDS).logits, MODEL(IDS).logits)
    assert any("(No space left on device (os error 28))" in note for note in found.notes)
    assert len(ran) == 2


def test_the_program_that_converts_says_that_the_disk_is_full(tmp_path, monkeypatch):
    gguf = write_gguf(tmp_path / "small.gguf", MODEL)
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(Unwritten, match="GB are free"):
        convert(gguf, tmp_path, torch.float32)


def test_what_is_kept_on_a_read_only_disk_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    wanted = PairSpec(str(save(tmp_path / "model", MODEL, byte_tokenizer())), prune=parse("wanda:0.5"), calibration=FEW)
    first = load_pair(wanted)
    folder = keep(tmp_path / "cache" / "ids", lambda part: np.save(part / "ids.npy", np.arange(9)), Work(), "")
    os.utime(folder / "ids.npy", ns=(1, 1))

    def refused(*args: Any, **kwargs: Any) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    for name in ("mkdir", "touch", "replace", "unlink"):
        monkeypatch.setattr(Path, name, refused)
    monkeypatch.setattr("tempfile.mkdtemp", refused)
    again = load_pair(wanted)
    assert again.report is not None
    assert first.report is not None
    assert again.report.mask_hash == first.report.mask_hash
    assert "kept from an earlier start" in again.report.notes[0]
    assert not any("can't be written" in note for note in again.every_note)
    assert keep(folder, refused, Work(), "") == folder
