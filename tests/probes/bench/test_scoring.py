"""Scoring is timed beside stepping, and its memory does not grow with the text."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from explorer.bench.scoring import ScoreBench, print_score_bench
from probes.bench.estimate_memory import CountedBytes
from probes.bench.scoring import ScoreCost, ScoreMemory, score_cost
from probes.tasks.many_positions import ManyPositions
from probes.tasks.scored_windows import SecondModel, score_windows
from probes.tasks.token_windows import TokenWindow
from tests.support.scoring import foreign_pair
from tests.support.stepping import Words, damaged
from tests.support.tiny import tiny


def test_both_ways_are_timed_in_every_round() -> None:
    found = score_cost(foreign_pair(), [5, 6, 7], Words(), window=16, steps=3, rounds=2)
    assert len(found.stepping) == len(found.scoring) == 2
    assert min(*found.stepping, *found.scoring) > 0
    assert ScoreCost(8, (4.0, 9.0, 8.0), (1.0, 3.0, 1.0)).ratio == 4


def test_a_long_text_takes_no_more_memory_than_a_short_one() -> None:
    dense = tiny("llama", vocab_size=9_000, max_position_embeddings=512)
    reader, second = ManyPositions(dense), SecondModel("second", ManyPositions(damaged(dense)))
    peaks = []
    for count in (2, 6):
        windows = [TokenWindow(tuple(range(1, 34)), 1)] * count
        with CountedBytes() as counted:
            for chunk in score_windows(reader, [second], windows, 9_000, at_once=66):
                del chunk
        peaks.append(counted.peak)
    assert peaks[0] == peaks[1]
    # A pass of 66 tokens, its logits in both models once, and six vectors of a position in float64.
    assert 2 * 64 * 9_000 * 4 < peaks[0] < 2 * 64 * 9_000 * 4 + 6 * 2 * 9_000 * 8 + 2**20


def test_costs_are_printed_beside_their_limits() -> None:
    cost = ScoreCost(512, (0.1, 0.1), (0.004, 0.004))
    found = ScoreBench("dense", "pruned", cost, (ScoreMemory(2, 10**9, 10**8), ScoreMemory(12, 10**9, 10**8)))
    out = StringIO()
    print_score_bench(found, Console(file=out, width=100))
    shown = out.getvalue()
    for text in ("25.0", "at least 20", "10.0", "250.0", "100 MB", "234 MB"):
        assert text in shown
