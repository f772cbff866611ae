"""The bench compares like with like, and sees memory that is kept."""

from __future__ import annotations

import pytest
import torch
from transformers import PreTrainedModel

from probes.bench.bare_loop import BareLoop
from probes.bench.overlaps import ways_of
from probes.bench.rounds import LEAST_ROUNDS, in_turn
from probes.bench.step_memory import growth, growth_alone
from probes.bench.stepping import StepCost, step_costs
from probes.schema.events import WorkProgressed
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep
from probes.system.progress import UNWATCHED, Work
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

STEPS = 6


@pytest.fixture(scope="module")
def pair() -> tuple[PreTrainedModel, PreTrainedModel]:
    model = tiny("llama")
    return model, damaged(model, 0.6)


@pytest.mark.parametrize("follow", [Follow.DENSE, Follow.FREE])
def test_the_bare_loop_reads_the_tokens_that_lockstep_takes_in_every_round(pair, follow):
    fed: list[list[int]] = [[], []]
    handles = [
        model.register_forward_pre_hook(
            lambda _model, _args, kwargs, ids=ids: ids.extend(kwargs["input_ids"][0].tolist()), with_kwargs=True
        )
        for model, ids in zip(pair, fed, strict=True)
    ]
    bare = BareLoop(pair, [PROMPT, PROMPT])
    for _ in range(2):
        assert bare.timed(STEPS, shared=follow is Follow.DENSE) > 0
    for handle in handles:
        handle.remove()
    with ways_of(pair, Words(), PROMPT)["none"](RunSettings("", follow=follow, steps=STEPS)) as lockstep:
        path = [lockstep.step() for _ in range(STEPS)]
    dense = [record.taken.token_id for record in path][:-1]
    pruned = [record.taken_pruned.token_id for record in path][:-1] if follow is Follow.FREE else dense
    assert follow is Follow.DENSE or dense != pruned
    prompt, end = PROMPT[:-1], PROMPT[-1:]
    assert fed == [[*prompt, *end, *dense, *end, *dense], [*prompt, *end, *pruned, *end, *pruned]]


def test_every_round_but_the_first_counts_and_is_told(pair):
    heard: list[WorkProgressed] = []
    ways = ways_of(pair, Words(), PROMPT)
    found = step_costs(pair, PROMPT, ways, steps=2, rounds=3, work=Work(heard.append))
    assert [(event.done, event.total) for event in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [cost.overlap for cost in found] == list(ways)
    for cost in found:
        assert (cost.follow, cost.steps, cost.threads) == (Follow.DENSE, 2, torch.get_num_threads())
        assert len(cost.bare) == len(cost.measured) == 3
        assert min(cost.bare + cost.measured) > 0


def test_in_free_all_timed_steps_come_after_the_split(pair, monkeypatch):
    stepped = []
    step = Lockstep.step

    def noted(self: Lockstep, **forced: int) -> object:
        record = step(self, **forced)
        stepped.append(record)
        return record

    monkeypatch.setattr(Lockstep, "step", noted)
    step_costs(pair, PROMPT, {"none": ways_of(pair, Words(), PROMPT)["none"]}, follow=Follow.FREE, steps=2, rounds=1)
    split = next(place for place, record in enumerate(stepped) if record.taken != record.taken_pruned)
    assert [record.step for record in stepped[: split + 1]] == list(range(1, split + 2))
    assert all(not record.same_context for record in stepped[split + 1 :])
    assert [record.step for record in stepped[split + 1 :]] == [split + 2] + 2 * [split + 2, split + 3]


def test_rounds_turn_round_and_end_with_their_time():
    order: list[str] = []

    def noting(name):
        return lambda: order.append(name) or float(len(order))

    timers = {name: noting(name) for name in "ab"}
    found = in_turn(timers, 9, 0.0, UNWATCHED, "")
    assert "".join(order) == "baabbaab"
    assert found == {"a": [3.0, 6.0, 7.0], "b": [4.0, 5.0, 8.0]}
    assert len(found["a"]) == LEAST_ROUNDS


def test_the_ratio_is_the_median_of_rounds_that_ran_side_by_side():
    # The machine was twice as slow in the second round, for both: that is no cost of measuring.
    found = StepCost(Follow.DENSE, "none", 2, 1, bare=(1.0, 2.0, 1.0), measured=(1.5, 3.0, 1.1))
    assert found.ratio == 1.5
    assert (found.bare_median, found.measured_median) == (1.0, 1.5)


@pytest.mark.slow
def test_a_step_leaves_little_behind_however_large_the_vocabulary(measured_in_forks):
    assert growth_alone(60_000, steps=60).beyond_caches < 100_000  # a row of logits takes 240,000


def test_memory_that_steps_keep_is_seen(monkeypatch):
    kept = []
    step = Lockstep.step

    def leaking(self: Lockstep, **forced: int) -> object:
        kept.append(b"\xff" * 1_000_000)
        return step(self, **forced)

    monkeypatch.setattr(Lockstep, "step", leaking)
    assert growth(1_000, steps=60).beyond_caches > 900_000
