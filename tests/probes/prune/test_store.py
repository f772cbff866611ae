"""Finished prunings are kept for later starts, and none of them costs all others their place."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.models.loaded import Loaded
from probes.prune import store
from probes.prune.apply import apply
from probes.schema.header import PruneReport
from probes.schema.prune_setting import parse
from probes.twin.twin import Twin
from tests.support.prune_models import FEW, loaded


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def carried_out(dense: Loaded, setting: str) -> tuple[Twin, PruneReport]:
    twin = Twin(dense.model)
    return twin, apply(twin, parse(setting), dense, FEW)


def folders(tmp_path: Path) -> set[Path]:
    there = tmp_path / "pruned"
    return {path for path in there.iterdir() if path.is_dir()} if there.exists() else set()


def test_what_is_said_to_be_needed_is_what_is_written(tmp_path: Path) -> None:
    twin, _ = carried_out(loaded("llama"), "sparsegpt:0.5@mlp+wanda:0.5@attn")
    (folder,) = folders(tmp_path)
    header = int.from_bytes((folder / store._FILE).read_bytes()[:8], "little") + 8
    assert (folder / store._FILE).stat().st_size - header == store._bytes(twin)


def test_one_that_needs_all_the_room_is_not_kept_and_costs_no_other_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense = loaded("llama")
    small, _ = carried_out(dense, "wanda:0.5")
    before = folders(tmp_path)
    assert len(before) == 1
    monkeypatch.setattr(store, "MOST_BYTES", 2 * store._bytes(small))
    _, report = carried_out(dense, "sparsegpt:0.5")
    assert folders(tmp_path) == before
    assert any("were not kept for later starts" in note for note in report.notes)


def test_the_oldest_goes_if_there_is_no_room_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dense = loaded("llama")
    carried_out(dense, "wanda:0.5")
    (oldest,) = folders(tmp_path)
    whole = sum(file.stat().st_size for file in oldest.iterdir())
    carried_out(dense, "wanda:0.4")
    monkeypatch.setattr(store, "MOST_BYTES", int(2.5 * whole))
    carried_out(dense, "wanda:0.3")
    left = folders(tmp_path)
    assert len(left) == 2
    assert oldest not in left


def test_masks_that_can_not_be_removed_are_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(store, "evict", refused)
    twin, report = carried_out(loaded("llama"), "wanda:0.5")
    assert twin.state.changes
    assert any("could not be removed" in note and "Read-only file system" in note for note in report.notes)
