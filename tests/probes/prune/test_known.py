"""Which states a twin can come back to at once: the newest, as many as their corrected weights leave room for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from probes.prune.apply import known_as
from probes.prune.known import MOST_STATES, SHARE, latest
from probes.schema.prune_setting import parse
from probes.schema.spec import CalibrationSpec
from probes.twin.twin_state import TwinState
from tests.support.prune_models import loaded, pruned


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHIER_CACHE", str(tmp_path))


def corrected(ratio: float) -> TwinState:
    """A state in which every matrix has weights of its own."""
    return pruned(loaded("llama"), f"sparsegpt:{ratio}")[0].state


def size(state: TwinState) -> int:
    return sum(change.weight.numel() * 4 for change in state.changes.values() if change.weight is not None)


def test_masks_cost_no_room_and_the_oldest_of_many_go() -> None:
    known: dict[str, TwinState] = {}
    for number in range(MOST_STATES + 3):
        known = latest(known, str(number), pruned(loaded("llama"), "magnitude:0.5")[0].state, free=0)
    assert list(known) == [str(number) for number in range(3, MOST_STATES + 3)]


def test_corrected_weights_that_are_not_in_use_are_kept_as_long_as_there_is_room() -> None:
    old, middle, new = corrected(0.3), corrected(0.4), corrected(0.5)
    known = {"old": old, "middle": middle}
    for_one, for_two = (int(count * size(old) / SHARE) + 1 for count in (1, 2))
    assert list(latest(known, "new", new, free=for_two)) == ["old", "middle", "new"]
    assert list(latest(known, "new", new, free=for_one)) == ["middle", "new"]
    assert list(latest(known, "new", new, free=0)) == ["new"]


def test_one_state_too_large_to_keep_takes_no_other_with_it() -> None:
    masked = pruned(loaded("llama"), "magnitude:0.5")[0].state
    known = {"masked": masked, "large": corrected(0.4)}
    assert list(latest(known, "new", corrected(0.5), free=0)) == ["masked", "new"]


def test_weights_that_two_states_share_are_counted_once_and_those_in_use_not_at_all() -> None:
    now = corrected(0.5)
    fewer = TwinState(dict(list(now.changes.items())[:3]))
    assert list(latest({"fewer": fewer, "again": now}, "now", now, free=0)) == ["fewer", "again", "now"]


def test_a_state_is_not_changed_by_being_kept() -> None:
    old, new = corrected(0.3), corrected(0.5)
    kept = latest({"old": old}, "new", new)["old"]
    assert kept.hash == old.hash
    for name, change in old.changes.items():
        weight, other = change.weight, kept.changes[name].weight
        assert weight is not None
        assert other is not None
        assert torch.equal(weight, other)


@pytest.mark.parametrize(
    ("setting", "samples", "seed"),
    [("wanda:0.5", True, True), ("random:0.5", False, True), ("magnitude:0.5", False, False)],
)
def test_a_state_is_named_by_what_it_depends_on(setting: str, samples: bool, seed: bool) -> None:
    def name(samples: int = 2, length: int = 8, seed: int = 0) -> str:
        return known_as(parse(setting), CalibrationSpec(samples=samples, length=length, seed=seed))

    assert (name(samples=3) != name()) == samples
    assert (name(length=9) != name()) == samples
    assert (name(seed=1) != name()) == seed
