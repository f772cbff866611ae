"""Measuring recorded steps again: the same models give the same figures, and anything else is named."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import pytest
from transformers import PreTrainedModel

from probes.recording.runs import empty_step
from probes.schema.errors import BadInput, Cancelled
from probes.schema.events import WorkProgressed
from probes.schema.header import Calibration, ModelInfo, PruneReport, RunHeader
from probes.schema.record import StepRecord
from probes.schema.settings import RunSettings, Sampling
from probes.stepping.retrace import TOLERANCE, check_same_models, retrace
from probes.system.progress import Work
from tests.support.records import with_own
from tests.support.stepping import damaged, lockstep
from tests.support.tiny import tiny


@pytest.fixture(scope="module")
def llama() -> PreTrainedModel:
    return tiny("llama")


@pytest.fixture(scope="module")
def other(llama: PreTrainedModel) -> PreTrainedModel:
    return damaged(llama)


TEXT = [11, 12, 13, 14, 15, 16, 17, 18]


@pytest.mark.parametrize("follow", ["dense", "pruned", "free", "text"])
@pytest.mark.parametrize("architecture", ["llama", "gpt2", "gemma3"])
def test_the_recorded_models_give_the_recorded_steps_to_the_last_bit(architecture: str, follow: str) -> None:
    dense = tiny(architecture)
    pruned = damaged(dense)
    text = TEXT if follow == "text" else ()
    sampling = Sampling(temperature=1.0, seed=4)
    with lockstep(dense, pruned, follow, text=text, sampling=sampling, steps=8) as both:
        recorded = list(both)
    with lockstep(dense, pruned, follow, text=text, sampling=sampling, steps=8) as both:
        again = retrace(both, recorded[:6])
        assert again.path == tuple(recorded[:6])
        assert again.differences == ()
        assert "identical to the recorded ones" in str(again)
        assert both.step() == recorded[6], "it goes on where the recording went on"


def test_forced_tokens_stay_forced_and_no_others_become_so(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "free") as both:
        recorded = [both.step(), both.step(dense=9, pruned=5), both.step(pruned=77), both.step()]
    with lockstep(llama, other, "free") as both:
        assert retrace(both, recorded).path == tuple(recorded)


def test_other_weights_are_told_with_the_step_and_the_figure(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, "free", steps=5) as both:
        recorded = list(both)
    with lockstep(llama, damaged(llama, 0.16), "free", steps=5) as both:
        again = retrace(both, recorded)
    assert [r.taken.token_id for r in again.path if r.taken] == [r.taken.token_id for r in recorded if r.taken]
    assert again.beyond[0].step == 1
    assert "5 of 5 steps differ from the recording by more than 0.0001" in str(again)
    assert f"of step 1 was {again.beyond[0].recorded:.6g} and is {again.beyond[0].here:.6g} now" in str(again)


def test_a_last_digit_is_told_but_is_not_a_disagreement(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, steps=3) as both:
        recorded = list(both)
    first = recorded[0]
    assert first.own is not None
    moved = [with_own(first, p=replace(first.own.p, kl=first.own.p.kl + TOLERANCE / 2)), *recorded[1:]]
    with lockstep(llama, other, steps=3) as both:
        again = retrace(both, moved)
    assert again.beyond == ()
    assert again.largest is not None
    assert (again.largest.step, again.largest.figure) == (1, "p.kl")
    assert "all figures agree within 0.0001" in str(again)


def test_another_choice_is_a_difference_however_close_the_figures(
    llama: PreTrainedModel, other: PreTrainedModel
) -> None:
    with lockstep(llama, other, steps=2) as both:
        recorded = list(both)
    assert recorded[1].pruned is not None
    turned = [recorded[0], replace(recorded[1], pruned=replace(recorded[1].pruned, token_id=1))]
    with lockstep(llama, other, steps=2) as both:
        again = retrace(both, turned)
    assert [(one.step, one.figure) for one in again.beyond] == [(2, "pruned.token_id")]


def test_a_lost_step_can_not_be_measured_again(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    with lockstep(llama, other, steps=2) as both:
        recorded: list[StepRecord] = list(both)
        both.seek(())
        with pytest.raises(BadInput, match=r"before step 2"):
            retrace(both, [recorded[0], empty_step(recorded[:1])])


def test_it_tells_how_far_it_is_and_stops_when_asked(llama: PreTrainedModel, other: PreTrainedModel) -> None:
    told: list[WorkProgressed] = []
    with lockstep(llama, other, steps=3) as both:
        recorded = list(both)
        both.seek(())
        retrace(both, recorded, Work(told.append))
        both.seek(())
        with pytest.raises(Cancelled):
            retrace(both, recorded, Work(cancelled=lambda: True))
    assert [(event.done, event.total) for event in told] == [(1, 3), (2, 3), (3, 3)]


INFO = ModelInfo("tiny", "folder/tiny", "", "a" * 64, "Tiny", 3, 32, 128, 1000, "float32", "cpu")
HEADER = RunHeader(INFO, INFO, PruneReport("wanda:0.5", 5, 10, mask_hash="m"), RunSettings("go"), "go", (1, 2, 3))


def test_the_recorded_models_pass() -> None:
    assert check_same_models(HEADER, copy.deepcopy(HEADER)) == ()


@pytest.mark.parametrize("role", ["dense", "pruned"])
@pytest.mark.parametrize("change", [{"fingerprint": "b" * 64}, {"layers": 2}, {"vocabulary": 64}])
def test_another_model_is_refused(role: str, change: dict[str, Any]) -> None:
    here = replace(HEADER, **{role: replace(INFO, **change)})  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=f"recorded {role} model"):
        check_same_models(HEADER, here)


def test_what_only_may_be_another_is_noted() -> None:
    here = replace(
        HEADER,
        dense=replace(INFO, dtype="bfloat16", device="cuda:0", fingerprint="b" * 64),
        prune=PruneReport("wanda:0.5", 5, 10, mask_hash="n"),
    )
    assert check_same_models(HEADER, here) == (
        "The dense model is now in bfloat16 and was recorded in float32.",
        "The dense model is now on cuda:0 and was recorded on cpu.",
        "The setting now removes other weights than in the recording.",
    )


@pytest.mark.parametrize(("digest", "words"), [("c", "differ between processors"), ("d", "calibrated on another text")])
def test_why_a_calibrated_mask_is_another_is_told(digest: str, words: str) -> None:
    def report(mask: str, text: str) -> PruneReport:
        return PruneReport("wanda:0.5", 5, 10, mask_hash=mask, calibration=Calibration("demo", 32, 128, 0, text))

    then, now = replace(HEADER, prune=report("m", "c")), replace(HEADER, prune=report("n", digest))
    (note,) = check_same_models(then, now)
    assert words in note
