"""Measures what scoring a text costs: positions a second against stepping through the text, and memory.

`python -m probes.bench.scoring SETTING WINDOWS MODEL` measures the memory of scoring so many windows, as JSON.
"""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from probes.bench.alone import alone
from probes.bench.memory import highest_resident
from probes.bench.resident import kept
from probes.pair import Pair, load_pair
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep, Tokens
from probes.system.progress import UNWATCHED, Work
from probes.tasks.many_positions import ManyPositions
from probes.tasks.scored_models import second_of
from probes.tasks.scored_windows import LOGITS, score_windows
from probes.tasks.token_windows import TokenWindow

SPARE = 0.2
"""The share of the weights that scoring may take beyond them, besides one slice of logits."""


@dataclass(frozen=True, slots=True)
class ScoreCost:
    """Seconds of a position in two ways of reading one text, timed in turn, so that other load affects both alike."""

    window: int
    stepping: tuple[float, ...]
    """`--follow text` in the middle of the window: the mean of each round."""
    scoring: tuple[float, ...]
    """Whole windows: the mean of each round."""

    @property
    def ratio(self) -> float:
        """Positions of scoring in the time of one step: the median over rounds that follow each other."""
        return statistics.median(a / b for a, b in zip(self.stepping, self.scoring, strict=True))


@dataclass(frozen=True, slots=True)
class ScoreMemory:
    """The memory of scoring, in bytes beyond those of a process that has loaded both models."""

    windows: int
    weights: int
    """Of both models, shared tensors once."""
    peak: int

    @property
    def limit(self) -> float:
        """The most that the peak may be: a share of the weights and one slice of both models' logits."""
        return SPARE * self.weights + 2 * 4 * LOGITS


def score_cost(
    pair: Pair,
    ids: Sequence[int],
    tokens: Tokens,
    *,
    window: int = 512,
    windows: int = 2,
    steps: int = 12,
    rounds: int = 5,
    work: Work = UNWATCHED,
) -> ScoreCost:
    """Times both ways on the tokens `ids`, repeated to fill so many windows. A first round is not counted."""
    text = [*ids] * (1 + window * windows // len(ids))
    cut = [TokenWindow(tuple(text[start : start + window]), 1) for start in range(0, window * windows, window)]
    dense, second = ManyPositions(pair.dense.model), second_of(pair)
    settings = RunSettings("", follow=Follow.TEXT, text="text", steps=steps)
    found: list[tuple[float, float]] = []
    half = window // 2
    with Lockstep(
        pair.dense.model, pair.pruned.model, tokens, text[:half], settings, text_ids=text[half : half + steps]
    ) as lockstep:
        for number in range(rounds + 1):
            lockstep.seek(())
            lockstep.prefill()
            begun = time.perf_counter()
            for _ in range(steps):
                lockstep.step()
            stepped = (time.perf_counter() - begun) / steps
            begun = time.perf_counter()
            for _ in score_windows(dense, [second], cut, pair.vocabulary):
                work.check("Timing scoring")
            scored = (time.perf_counter() - begun) / sum(one.scored for one in cut)
            found.append((stepped, scored))
            work.report("Timing scoring and stepping", number + 1, rounds + 1, "rounds")
    stepping, scoring = zip(*found[1:], strict=True)
    return ScoreCost(window, stepping, scoring)


def score_memory(setting: str, windows: int, dense: str = "demo") -> ScoreMemory:
    """Scores so many windows of 512 tokens in a new process. Raises `Failure` if that fails."""
    return ScoreMemory(**alone(__name__, setting, windows, dense))


def _here(setting: str, number: int, spec: str) -> ScoreMemory:
    from probes.schema.prune_setting import parse
    from probes.schema.spec import OverlapMode, PairSpec

    pair = load_pair(PairSpec(dense=spec, prune=parse(setting), overlap=OverlapMode.NONE))
    dense, second = ManyPositions(pair.dense.model), second_of(pair)
    models = pair.dense.model, pair.pruned.model
    held = {
        one.untyped_storage().data_ptr(): one for model in models for one in (*model.parameters(), *model.buffers())
    }

    def score(count: int, length: int) -> None:
        ids = tuple(number % 1000 + 1 for number in range(length))
        windows = [TokenWindow(ids, 1)] * count
        for _ in score_windows(dense, [second], windows, pair.vocabulary):
            pass

    score(1, 8)  # libraries allocate memory at first use
    before = kept()
    with highest_resident() as highest:
        score(number, min(512, pair.dense.model.config.max_position_embeddings))
    weights = sum(one.untyped_storage().nbytes() for one in held.values())
    return ScoreMemory(number, weights, max(highest) - before)


if __name__ == "__main__":
    print(json.dumps(asdict(_here(sys.argv[1], int(sys.argv[2]), sys.argv[3]))))  # noqa: T201 - the process's output
