"""The bench compares like with like, and sees memory that is kept."""

from __future__ import annotations

import pytest
from transformers import PreTrainedModel

from probes.bench import stepping as cost
from probes.bench.stepping import StepCost, growth, growth_alone, step_cost
from probes.schema.events import WorkProgressed
from probes.schema.settings import Follow, RunSettings
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

STEPS = 6


@pytest.fixture(scope="module")
def pair() -> tuple[PreTrainedModel, PreTrainedModel]:
    model = tiny("llama")
    return model, damaged(model, 0.6)


@pytest.mark.parametrize("follow", [Follow.DENSE, Follow.FREE])
def test_the_bare_loop_reads_the_tokens_that_lockstep_takes(pair, follow):
    fed: list[list[int]] = [[], []]
    handles = [
        model.register_forward_pre_hook(
            lambda _model, _args, kwargs, ids=ids: ids.extend(kwargs["input_ids"][0].tolist()), with_kwargs=True
        )
        for model, ids in zip(pair, fed, strict=True)
    ]
    dense_model, pruned_model = pair
    cost._bare(dense_model, pruned_model, PROMPT, STEPS, shared=follow is Follow.DENSE)
    for handle in handles:
        handle.remove()
    with Lockstep(dense_model, pruned_model, Words(), PROMPT, RunSettings("", follow=follow, steps=STEPS)) as lockstep:
        path = [lockstep.step() for _ in range(STEPS)]
    dense = [*PROMPT, *(record.taken.token_id for record in path)]
    pruned = [*PROMPT, *(record.taken_pruned.token_id for record in path)] if follow is Follow.FREE else dense
    assert follow is Follow.DENSE or dense != pruned
    assert fed == [dense[:-1], pruned[:-1]]


def test_every_round_but_the_first_counts_and_is_told(pair):
    heard: list[WorkProgressed] = []
    dense, pruned = pair
    found = step_cost(dense, pruned, Words(), PROMPT, steps=2, rounds=3, work=Work(heard.append))
    assert [(event.done, event.total) for event in heard] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(found.bare) == len(found.measured) == 3
    assert min(found.bare + found.measured) > 0


def test_the_ratio_is_the_median_of_rounds_that_ran_side_by_side():
    # The machine was twice as slow in the second round, for both: that is no cost of measuring.
    found = StepCost(Follow.DENSE, 1, bare=(1.0, 2.0, 1.0), measured=(1.5, 3.0, 1.1))
    assert found.ratio == 1.5
    assert (found.bare_median, found.measured_median) == (1.0, 1.5)


def test_a_step_leaves_little_behind_however_large_the_vocabulary():
    assert growth_alone(60_000, steps=60).beyond_caches < 100_000  # a row of logits takes 240,000


def test_memory_that_steps_keep_is_seen(monkeypatch):
    kept = []
    step = Lockstep.step

    def leaking(self: Lockstep, **forced: int) -> object:
        kept.append(b"\xff" * 1_000_000)
        return step(self, **forced)

    monkeypatch.setattr(Lockstep, "step", leaking)
    assert growth(1_000, steps=60).beyond_caches > 900_000
