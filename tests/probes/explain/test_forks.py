"""A fork is followed as plain passes over the whole text would follow it, and the run goes on undisturbed."""

from __future__ import annotations

import pytest

from probes.explain.forks import ends_in_loop, measure_fork, recovery
from probes.schema.errors import Cancelled
from probes.schema.events import WorkProgressed
from probes.schema.fork_verdict import Recovery
from probes.schema.settings import Sampling
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.explaining import kl, plain, two
from tests.support.stepping import lockstep
from tests.support.tiny import tiny

STEPS = 6


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2", "gpt_neox", "mixtral"])
def test_both_directions_are_those_of_plain_passes(architecture: str) -> None:
    dense, pruned, _ = two(architecture)
    with lockstep(dense, pruned, steps=12) as both:
        split = next(record for record in both if record.agree is False)
        found = measure_fork(both, both.path[: split.step - 1], steps=STEPS)
        context = both.shared_context(split.step)
    assert found is not None
    tops = [int(plain(model, context)[-1].argmax()) for model in (dense, pruned)]
    for run, forced, writer in (
        (found.dense_into_pruned, tops[0], pruned),
        (found.pruned_into_dense, tops[1], dense),
    ):
        ids, kls, agreed = [*context, forced], [], []
        for _ in range(STEPS):
            p, q = (plain(model, ids)[-1] for model in (dense, pruned))
            kls.append(kl(p, q))
            agreed.append(int(p.argmax()) == int(q.argmax()))
            ids.append(int((p if writer is dense else q).argmax()))
        assert run.forced == f"{forced} "
        assert run.steps == STEPS
        assert run.agree_rate == sum(agreed) / STEPS
        assert run.kl == pytest.approx(sum(kls) / STEPS, rel=1e-3)
        assert run.kl_last == pytest.approx(kls[-1], rel=1e-3)
        assert run.text == "".join(f"{token} " for token in ids[len(context) :])
        assert run.repeats == ends_in_loop(ids[len(context) :])


@pytest.mark.parametrize("follow", ["dense", "pruned", "free", "text"])
def test_the_run_goes_on_bit_for_bit_the_same(follow: str) -> None:
    dense, pruned, _ = two("qwen3")
    text = [9, 8, 7, 6, 5, 4, 3, 2, 1, 9] if follow == "text" else []
    options = {"steps": 10, "sampling": Sampling(temperature=1.5, seed=3)}
    with lockstep(dense, pruned, follow, text=text, **options) as both:
        expected = list(both)
    with lockstep(dense, pruned, follow, text=text, **options) as both:
        found = []
        for record in expected:
            assert both.step() == record
            found.append(measure_fork(both, both.path[:-1], steps=2))
    assert any(found)


def test_models_that_choose_one_token_are_not_forked() -> None:
    dense = tiny("llama")
    with lockstep(dense, Twin(dense).model, steps=3) as both:
        list(both)
        assert measure_fork(both, both.path[:1]) is None


def test_a_token_that_ends_the_text_leaves_nothing_to_follow() -> None:
    dense, pruned, _ = two("gemma2")
    with lockstep(dense, pruned, steps=12) as both:
        path = list(both)
    seen = [record.dense.token_id for record in path if record.dense]
    split = next(one for one in path if one.agree is False and seen.index(seen[one.step - 1]) == one.step - 1)
    end = seen[split.step - 1]
    with lockstep(dense, pruned, steps=12, ends=frozenset([end])) as both:
        list(both)
        found = measure_fork(both, both.path[: split.step - 1], steps=STEPS)
    assert found is not None
    run = found.dense_into_pruned
    assert (run.verdict, run.steps, run.text) == (Recovery.ENDS, 0, f"{end} ")
    assert found.pruned_into_dense.steps > 0


def test_it_reports_its_steps_and_can_be_cancelled() -> None:
    dense, pruned, _ = two("llama")
    seen: list[WorkProgressed] = []
    with lockstep(dense, pruned, steps=12) as both:
        split = next(record for record in both if record.agree is False)
        measure_fork(both, both.path[: split.step - 1], steps=3, work=Work(seen.append))
        assert [(one.done, one.total) for one in seen] == [(i, 6) for i in range(6)]
        with pytest.raises(Cancelled):
            measure_fork(both, both.path[: split.step - 1], work=Work(seen.append, lambda: len(seen) > 8))
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("ids", "loops"),
    [
        ([1, 2, *[7] * 8], True),
        ([1, 2, *[7] * 7], False),
        ([5, *[1, 2, 3] * 3], True),
        ([5, *[1, 2, 3] * 2, 1, 2], False),
        ([*range(8)] * 3, True),
        ([*range(9)] * 3, False),
        ([*[7] * 9, 1], False),
        ([], False),
    ],
)
def test_a_loop_is_the_same_few_tokens_again_and_again(ids: list[int], loops: bool) -> None:
    assert ends_in_loop(ids) is loops


@pytest.mark.parametrize(
    ("steps", "agree", "repeats", "invalid", "expected"),
    [
        (32, 0.75, False, False, Recovery.RECOVERS),
        (32, 0.74, False, False, Recovery.DRIFTS),
        (32, 0.40, False, False, Recovery.DRIFTS),
        (32, 0.39, False, False, Recovery.COLLAPSES),
        (32, 1.0, True, False, Recovery.COLLAPSES),
        (0, 0.0, False, False, Recovery.ENDS),
        (3, 1.0, False, True, Recovery.COLLAPSES),
    ],
)
def test_the_verdict_follows_its_thresholds(
    steps: int, agree: float, repeats: bool, invalid: bool, expected: Recovery
) -> None:
    assert recovery(steps, agree, repeats=repeats, invalid=invalid) is expected
