"""Models are called by what tells them apart, wherever their folders are."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.sources.continued import spec_of
from probes.checkpoints.inspect import inspect
from probes.models.loaded import load
from probes.models.naming import name_of, names_apart, revision_of
from probes.pair import load_pair
from probes.schema.header import RunHeader
from probes.schema.prune_setting import parse
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from tests.support.gguf_file import write_gguf
from tests.support.tiny import byte_tokenizer, save, tiny

COMMIT = "0123456789abcdef0123456789abcdef01234567"
OTHER = "f123456789abcdef0123456789abcdef01234567"


def snapshot(folder: Path, repository: str = "models--owner--small", commit: str = COMMIT) -> Path:
    place = folder / "hub" / repository / "snapshots" / commit
    place.mkdir(parents=True)
    return place


def model(folder: Path, seed: int = 0) -> Path:
    return save(folder, tiny("llama", seed=seed, vocab_size=len(byte_tokenizer())), byte_tokenizer())


def header_of(wanted: PairSpec) -> RunHeader:
    pair, settings = load_pair(wanted), RunSettings("a prompt")
    return pair.header(settings, pair.prompt(settings))


def test_a_folder_of_the_hubs_cache_is_called_by_its_repository_with_its_revision(tmp_path):
    folder = model(snapshot(tmp_path))
    link = tmp_path / "link"
    link.symlink_to(folder)
    for given in (folder, link):
        info = load(str(given)).info
        assert (info.name, info.revision, info.spec) == ("small", COMMIT, str(given))
    assert name_of(str(snapshot(tmp_path, "models--gpt2"))) == "gpt2"


@pytest.mark.parametrize(
    "repository", ["models--owner--small/snapshots/main", "datasets--owner--small/snapshots/" + COMMIT]
)
def test_other_folders_have_no_revision(tmp_path, repository):
    folder = tmp_path / repository
    folder.mkdir(parents=True)
    assert revision_of(folder) == ""
    assert name_of(str(folder)) == folder.name


def test_a_gguf_file_of_the_hubs_cache_is_called_by_its_own_name(tmp_path, monkeypatch):
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "cache"))
    blob = tmp_path / "hub" / "models--owner--small" / "blobs" / (64 * "a")
    blob.parent.mkdir(parents=True)
    write_gguf(blob, tiny("llama", vocab_size=len(byte_tokenizer())))
    link = snapshot(tmp_path) / "small.Q4.gguf"
    link.symlink_to(blob)
    assert name_of(str(link)) == "small.Q4"
    asked = []
    monkeypatch.setattr("probes.models.locate.converted", lambda path, *_, **__: asked.append(path) or tmp_path)
    with pytest.raises(Exception, match=r"config\.json"):
        load(str(link))
    assert asked == [link]


def test_two_models_of_one_name_are_told_apart_by_as_much_of_the_path_as_it_takes(tmp_path):
    for folder in ("a/x/model", "b/x/model", "a/y/model", "c"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "c" / "model.gguf").touch()
    at = {name: str(tmp_path / name) for name in ("a/x/model", "b/x/model", "a/y/model", "c/model.gguf")}
    assert names_apart(at["a/x/model"], at["a/y/model"]) == ("x/model", "y/model")
    assert names_apart(at["a/x/model"], at["b/x/model"]) == ("a/x/model", "b/x/model")
    assert names_apart(at["a/x/model"], at["c/model.gguf"]) == ("x/model", "model.gguf")
    assert names_apart(at["a/x/model"], at["a/x/model"]) == ("model", "model")
    assert names_apart("one/model", "two/model") == ("one/model", "two/model")
    assert names_apart("one/model@a", "one/model@b") == ("one/model@a", "one/model@b")
    assert names_apart("demo", at["a/x/model"]) == ("SmolLM2-135M-Instruct", "model")
    first, second = snapshot(tmp_path), snapshot(tmp_path, commit=OTHER)
    assert names_apart(str(first), str(second)) == ("owner/small@0123456789ab", "owner/small@f123456789ab")


def test_a_pair_of_one_name_says_which_is_which_everywhere(tmp_path):
    dense, pruned = model(tmp_path / "dense" / "model"), model(tmp_path / "pruned" / "model", seed=1)
    header = header_of(PairSpec(str(dense), pruned=str(pruned)))
    assert (header.dense.name, header.pruned.name) == ("dense/model", "pruned/model")


def test_an_inspected_folder_and_the_one_it_is_held_against_are_told_apart(tmp_path):
    dense, pruned = model(tmp_path / "dense" / "model"), model(tmp_path / "pruned" / "model", seed=1)
    found = inspect(str(pruned), str(dense))
    assert found.against is not None
    assert (found.model.name, found.against.name) == ("pruned/model", "dense/model")


def test_a_run_of_a_cached_folder_is_resumed_from_that_folder(tmp_path):
    dense, pruned = model(snapshot(tmp_path)), model(tmp_path / "model", seed=1)
    header = header_of(PairSpec(str(dense), pruned=str(pruned)))
    assert spec_of(header, PairSpec(prune=parse("magnitude:0.5"))).dense == str(dense)
