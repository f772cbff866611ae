"""The sentences on caches and forks say what the figures say, and no more."""

from __future__ import annotations

import pytest

from explorer.words.blame import blame_sentence, fork_sentence, memory_sentence
from probes.schema.fork_verdict import ForkedRun, Recovery
from probes.schema.quadrants import Blame, CachePosition, Quadrants


def quadrants(blame: Blame, *drops: float, both: float = 2.0, tried: int | None = None) -> Quadrants:
    positions = tuple(CachePosition(i + 4, 7, " cat", both - drop, drop) for i, drop in enumerate(drops))
    return Quadrants(1.5, 0.4, both, blame, positions, 40, len(drops) if tried is None else tried)


def forked(verdict: Recovery, *, repeats: bool = False, steps: int = 32) -> ForkedRun:
    return ForkedRun(" cat", steps, 0.75, 0.5, 0.25, repeats, " cat sat", verdict)


@pytest.mark.parametrize(
    ("blame", "said"),
    [
        (Blame.COMPUTE, "breaks because of what is computed now: pruned weights alone give 75 % of the KL"),
        (Blame.MEMORY, "breaks because of what pruned layers wrote into the cache: pruned weights alone"),
        (Blame.EITHER, "each enough alone"),
        (Blame.BOTH, "only by both together"),
    ],
)
def test_what_is_to_blame(blame: Blame, said: str) -> None:
    sentence = blame_sentence(quadrants(blame))
    assert said in sentence
    assert sentence.endswith("the pruned cache alone 20 %.")


def test_a_token_that_does_not_break() -> None:
    whole = quadrants(Blame.NONE, 0.001, both=0.004)
    assert blame_sentence(whole) == "This token does not break: the KL is 0.00400 nat."
    assert memory_sentence(whole) == ""


def test_where_the_damage_is_read() -> None:
    named = memory_sentence(quadrants(Blame.MEMORY, 1.0, 0.1))
    assert named.startswith('The damage is read most from position 4, " cat": with the dense cache')
    assert "falls by 50 % (2 of 40 positions" in named
    spread = memory_sentence(quadrants(Blame.BOTH, 0.09, 0.01, tried=40))
    assert spread == "No earlier position holds it alone: of all 40 that were restored, none takes away 5 %."
    assert memory_sentence(quadrants(Blame.COMPUTE)) == ""


def test_a_fork() -> None:
    assert fork_sentence(forked(Recovery.RECOVERS), into_pruned=True) == (
        'With the dense token " cat" the pruned model recovers: the models agree at 75 % of the next 32 steps '
        "(mean KL 0.500 nat, 0.250 at the end)."
    )
    assert "the dense model drifts" in fork_sentence(forked(Recovery.DRIFTS), into_pruned=False)
    assert "ends in a loop" in fork_sentence(forked(Recovery.COLLAPSES, repeats=True), into_pruned=False)
    assert "collapses" in fork_sentence(forked(Recovery.COLLAPSES), into_pruned=True)
    assert "of the next 1 step (" in fork_sentence(forked(Recovery.RECOVERS, steps=1), into_pruned=True)
    assert "ends the text at once" in fork_sentence(forked(Recovery.ENDS, steps=0), into_pruned=True)
