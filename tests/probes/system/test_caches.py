"""Caches are measured and emptied: all that the program made, nothing else, and nothing that another process holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.system.cache_folder import lock_of, remember
from probes.system.caches import CACHES, Cache, empty_cache
from probes.system.kept_folder import keep
from probes.system.progress import UNWATCHED
from probes.system.user_folders import cache_folder

HASH = "ab" * 32
BY_NAME = {cache.name: cache for cache in CACHES}


@pytest.fixture(autouse=True)
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))
    return tmp_path


def write(place: Path) -> Path:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(b"12345")
    return place


def build(folder: Path) -> None:
    (folder / "weights").write_bytes(b"1234567")


def fill() -> None:
    """One entry in each cache, as the program writes them."""
    write(cache_folder() / "demo" / "SmolLM2-135M-Instruct.Q4_1.gguf")
    keep(cache_folder() / "models" / "tiny-float32-0123456789abcdef", build, UNWATCHED, "Converting")
    for name in ("pruned", "calibration"):
        keep(cache_folder() / name / HASH, build, UNWATCHED, "Keeping")
    write(cache_folder() / "noise" / f"{HASH}.json")
    write(cache_folder() / "repairs" / f"{HASH}.jsonl")
    remember("sha256", HASH, "cd" * 32)


def test_every_cache_is_counted_and_emptied() -> None:
    fill()
    for cache in CACHES:
        count, size = cache.size()
        assert (count, size > 0) == (1, True), cache.name
        done = empty_cache(cache)
        assert (done.removed, done.bytes, done.left) == (1, size, 0)
        assert cache.size() == (0, 0)
    files = [path for path in cache_folder().rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".lock"}


def test_every_folder_that_the_program_keeps_things_in_is_one_of_them() -> None:
    text = "\n".join(path.read_text("utf-8") for path in (Path(__file__).parents[3] / "probes").rglob("*.py"))
    named = {part.partition('"')[0] for part in text.split('cache_folder() / "')[1:]}
    assert named == set(BY_NAME)


def test_what_others_put_there_stays(folder: Path) -> None:
    """As when the cache folder that was named is one with other things in it."""
    mine = [
        write(folder / "models" / "mine" / "model.safetensors"),
        write(folder / "models" / "mine" / "manifest.json"),
    ]
    mine += [write(folder / "digests" / "notes.txt"), write(folder / "pruned" / "list"), write(folder / "thesis.tex")]
    mine += [write(folder / "demo" / "other.gguf"), write(folder / "noise" / "recording.jsonl")]
    fill()
    for cache in CACHES:
        empty_cache(cache)
    assert all(path.exists() for path in mine)


def test_a_link_is_not_followed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = write(tmp_path_factory.mktemp("outside") / "weights")
    (folder / "pruned").mkdir()
    (folder / "pruned" / HASH).symlink_to(outside.parent)
    empty_cache(BY_NAME["pruned"])
    assert outside.exists()


@pytest.mark.parametrize("cache", [cache for cache in CACHES if cache.locked], ids=lambda cache: cache.name)
def test_what_another_process_is_writing_stays(cache: Cache) -> None:
    fill()
    [entry] = cache.entries()
    with lock_of(entry):
        assert empty_cache(cache).left == 1
        assert entry.exists()
    assert empty_cache(cache).removed == 1


def test_what_a_killed_program_began_is_removed(folder: Path) -> None:
    place = folder / "calibration" / HASH
    begun = write(place.with_name(f".{HASH}.part-xyz") / HASH / "ids.npy")
    lock_of(place).acquire()
    assert empty_cache(BY_NAME["calibration"]).removed == 1
    assert not begun.exists()


def test_there_may_be_no_folder_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path / "none"))
    assert all(cache.size() == (0, 0) and empty_cache(cache).removed == 0 for cache in CACHES)
