"""Measures the cost of stepping: its time compared with a bare loop of the two models, and the bytes that a step
keeps."""

from __future__ import annotations

import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from probes.bench.alone import alone
from probes.bench.resident import kept
from probes.models.kv_cache import cache_name, new_cache
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep, Tokens
from probes.system.progress import UNWATCHED, Work


@dataclass(frozen=True, slots=True)
class StepCost:
    """The seconds of a step in two ways of stepping, timed in turn, so that other load affects both alike."""

    follow: Follow
    steps: int
    """Steps in a round."""
    bare: tuple[float, ...]
    """The models one after the other, without any figure: the mean of each round."""
    measured: tuple[float, ...]
    """The same steps in lockstep, with every figure: the mean of each round."""

    @property
    def bare_median(self) -> float:
        return statistics.median(self.bare)

    @property
    def measured_median(self) -> float:
        return statistics.median(self.measured)

    @property
    def ratio(self) -> float:
        """Measured over bare: the median over pairs of rounds that follow each other."""
        return statistics.median(b / a for a, b in zip(self.bare, self.measured, strict=True))


@dataclass(frozen=True, slots=True)
class Growth:
    """The bytes that each step of a run adds to the process."""

    vocabulary: int
    steps: int
    resident: float
    """The growth of the memory in use."""
    caches: float
    """The growth of both KV caches, which any stepping needs."""

    @property
    def beyond_caches(self) -> float:
        return self.resident - self.caches


def step_cost(
    dense: PreTrainedModel,
    pruned: PreTrainedModel,
    tokens: Tokens,
    prompt_ids: Sequence[int],
    *,
    follow: Follow = Follow.DENSE,
    steps: int = 32,
    rounds: int = 9,
    work: Work = UNWATCHED,
) -> StepCost:
    """Times both ways of greedy stepping from one prompt, without the prefill.

    `follow` is `dense` or `free`: in `free`, the bare models each read their own tokens, and the lockstep
    reads the shared context too. A first round is not counted. No token ends the text.
    """
    settings = RunSettings("", follow=follow, steps=steps)

    def measured() -> float:
        with Lockstep(dense, pruned, tokens, prompt_ids, settings) as lockstep:
            lockstep.prefill()
            return _timed(lockstep.step, steps)

    def bare() -> float:
        return _bare(dense, pruned, prompt_ids, steps, shared=follow is not Follow.FREE)

    times: dict[Callable[[], float], list[float]] = {bare: [], measured: []}
    for number in range(rounds + 1):
        # The order alternates, so that neither way always runs after the other.
        for way in (bare, measured) if number % 2 else (measured, bare):
            times[way].append(way() / steps)
        work.report(f"Timing steps in {follow}", number + 1, rounds + 1, "rounds")
    return StepCost(follow, steps, tuple(times[bare][1:]), tuple(times[measured][1:]))


def growth(vocabulary: int = 150_000, *, steps: int = 300) -> Growth:
    """Steps two small random models with a large vocabulary in `free`, and measures the growth of the process.

    The records are kept, as in a run. The first steps, which fill the reserves of every allocator, are not counted.
    """
    warm = steps // 2
    with torch.random.fork_rng():
        dense, pruned = _random_model(vocabulary, steps + warm, 0), _random_model(vocabulary, steps + warm, 1)
    settings = RunSettings("", follow=Follow.FREE, steps=steps + warm)
    with Lockstep(dense, pruned, _Numbers(), [1, 2, 3], settings) as lockstep:
        stepping = iter(lockstep)
        for _ in islice(stepping, warm):
            pass
        before = kept()
        for _ in islice(stepping, steps):
            pass
        after = kept()
    # After the contexts diverge, three are cached: one of the dense model, two of the pruned one.
    values = 2 * dense.config.num_hidden_layers * dense.config.hidden_size
    return Growth(vocabulary, steps, (after - before) / steps, 3.0 * values * dense.dtype.itemsize)


def growth_alone(vocabulary: int = 150_000, *, steps: int = 300) -> Growth:
    """`growth` in a new process. Raises `Failure` if it fails."""
    return Growth(**alone(__name__, vocabulary, steps))


@torch.inference_mode()
def _bare(
    dense: PreTrainedModel, pruned: PreTrainedModel, prompt_ids: Sequence[int], steps: int, shared: bool
) -> float:
    """Seconds of `steps` greedy steps of both models, one after the other, each with its cache."""
    caches = [new_cache(dense), new_cache(pruned)]
    contexts = [list(prompt_ids), list(prompt_ids)]

    def read(which: int, model: PreTrainedModel, ids: Sequence[int]) -> int:
        fed = torch.tensor([list(ids)], device=model.device)
        logits = model(input_ids=fed, use_cache=True, **{cache_name(model): caches[which]}).logits
        return int(logits[0, -1].argmax())

    def step() -> None:
        chosen, chosen_pruned = read(0, dense, contexts[0][-1:]), read(1, pruned, contexts[1][-1:])
        contexts[0].append(chosen)
        contexts[1].append(chosen if shared else chosen_pruned)

    for which, model in enumerate((dense, pruned)):
        read(which, model, prompt_ids[:-1])
    return _timed(step, steps)


def _timed(step: Callable[[], object], steps: int) -> float:
    begun = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - begun


def _random_model(vocabulary: int, longest: int, seed: int) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=longest + 8,
        initializer_range=0.4,
    )
    model = LlamaForCausalLM(config)
    model.requires_grad_(False).eval()
    return model


class _Numbers:
    """Writes token 7 as "7 "."""

    def piece(self, token_id: int) -> str:
        return f"{token_id} "

    def stream(self, ids: Sequence[int]) -> _Numbers:  # noqa: ARG002 - a number's text does not depend on the ones before
        return self

    def push(self, token_id: int) -> str:
        return self.piece(token_id)


if __name__ == "__main__":
    print(json.dumps(asdict(growth(int(sys.argv[1]), steps=int(sys.argv[2])))))  # noqa: T201 - the process's output
