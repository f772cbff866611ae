"""Live models behind the source interface: what is asked for arrives as events, in order, and nothing else does."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest

from explorer.sources.live import IMPORTING, READ_AHEAD, LiveSource, loader
from probes.models.loaded import Loaded
from probes.models.prompting import Prompt
from probes.pair import Pair
from probes.schema.branches import Branches
from probes.schema.conversation import Turn
from probes.schema.errors import BadInput, Cancelled, FailureKind
from probes.schema.events import (
    BranchOpened,
    BranchSelected,
    Failed,
    PromptRendered,
    RunPaused,
    RunResumed,
    RunStarted,
    StepMeasured,
    Why,
    WorkProgressed,
)
from probes.schema.prune_setting import Setting
from probes.schema.record import StepRecord
from probes.schema.requests import Cancel, Fork, Pause, Prune, RenderPrompt, Restart, Run, Select, Step
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.stepping.lockstep import Lockstep
from probes.system.progress import Work
from tests.support.live import HALF, INFO, NOTHING, SETTINGS, SLOW, Listener, TinyPair, expected
from tests.support.stepping import PROMPT, Words
from tests.support.tiny import byte_tokenizer, tiny


@pytest.fixture
def heard() -> Listener:
    return Listener()


@pytest.fixture
def source(heard: Listener) -> Iterator[LiveSource]:
    live = LiveSource(lambda _work: TinyPair(), SETTINGS)  # type: ignore[arg-type, return-value]
    live.open(heard)
    heard.wait(RunStarted)
    yield live
    live.close()


def test_nothing_is_shown_before_it_is_asked_for(source: LiveSource, heard: Listener) -> None:
    assert source.wait_idle(20)
    assert not heard.of(StepMeasured)
    source.ask(Step())
    assert heard.of(StepMeasured), "a step that was read ahead is there at once"
    assert heard.steps() == expected(1)


def test_single_steps_come_in_order_and_each_once(source: LiveSource, heard: Listener) -> None:
    for _ in range(READ_AHEAD + 3):
        source.ask(Step())
    heard.wait(StepMeasured, READ_AHEAD + 3)
    assert source.wait_idle(20)
    assert heard.steps() == expected(READ_AHEAD + 3)


def test_a_run_goes_to_its_limit_and_can_go_on(source: LiveSource, heard: Listener) -> None:
    source.ask(Run())
    assert heard.wait(RunPaused).why is Why.STEPS
    assert heard.steps() == expected(12)
    source.ask(Run(("steps=2",)))
    heard.wait(RunPaused, 2)
    assert len(heard.steps()) == 14


def test_a_condition_stops_the_run_where_it_is_met(source: LiveSource, heard: Listener) -> None:
    split = next(r.step for r in expected(12) if r.split)
    source.ask(Run(("split",)))
    paused = heard.wait(RunPaused)
    assert paused.why is Why.UNTIL
    assert paused.met is not None
    assert (paused.met.condition, paused.met.step) == ("split", split)
    assert len(heard.steps()) == split


def test_pausing_stops_and_running_resumes(source: LiveSource, heard: Listener) -> None:
    source.ask(Run(("steps=200",)))
    heard.wait(StepMeasured, 3)
    source.ask(Pause())
    heard.wait(RunPaused)
    seen = len(heard.steps())
    assert source.wait_idle(20)
    assert len(heard.steps()) == seen
    source.ask(Run(("steps=1",)))
    heard.wait(RunPaused, 2)
    assert len(heard.of(RunResumed)) == 2
    assert [r.step for r in heard.steps()] == list(range(1, seen + 2))


def test_a_fork_discards_what_was_read_ahead_and_the_old_branch_stays(source: LiveSource, heard: Listener) -> None:
    for _ in range(5):
        source.ask(Step())
    heard.wait(StepMeasured, 5)
    source.ask(Fork(3, dense=77))
    opened = heard.wait(BranchOpened)
    heard.wait(StepMeasured, 6)
    assert (opened.branch.parent, opened.branch.step, opened.branch.dense) == (0, 3, 77)
    source.ask(Step())
    heard.wait(StepMeasured, 7)
    source.ask(Select(0))
    heard.wait(BranchSelected)
    source.ask(Step())
    heard.wait(StepMeasured, 8)
    branches = Branches()
    for event in heard.events:
        if isinstance(event, BranchOpened):
            branches.open(event.branch)
        elif isinstance(event, BranchSelected):
            branches.current = event.branch
        elif isinstance(event, StepMeasured):
            branches.add(event.branch, event.record)
    fork = branches.path(1)
    assert fork[:2] == expected(5)[:2]
    assert (fork[2].taken.token_id, fork[2].taken.forced, len(fork)) == (77, True, 4)
    assert [r.taken.token_id for r in branches.path(0)] == [r.taken.token_id for r in expected(6)]


def test_a_new_setting_begins_a_new_run_and_a_bad_one_keeps_the_old(source: LiveSource, heard: Listener) -> None:
    source.ask(Step())
    heard.wait(StepMeasured)
    source.ask(Restart(RunSettings("")))
    assert heard.wait(Failed).title == "Empty prompt"
    source.ask(Step())
    assert heard.wait(StepMeasured, 2).record == expected(2)[1]
    source.ask(Restart(RunSettings("again", steps=3)))
    assert heard.wait(RunStarted, 2).run == 2
    source.ask(Run())
    heard.wait(RunPaused)
    assert [event.record.step for event in heard.of(StepMeasured) if event.run == 2] == [1, 2, 3]


def test_another_prune_setting_replaces_the_pruned_model(source: LiveSource, heard: Listener) -> None:
    for _ in range(5):
        source.ask(Step())
    heard.wait(StepMeasured, 5)
    source.ask(Prune(NOTHING))
    heard.wait(RunStarted, 2)
    heard.wait(RunPaused)
    again = [event.record for event in heard.of(StepMeasured) if event.run == 2]
    assert [record.step for record in again] == [1, 2, 3, 4, 5], "the same steps are measured again"
    assert again[-1].sum.kl == 0


def test_a_token_that_was_forced_is_forced_again_under_another_prune_setting(
    source: LiveSource, heard: Listener
) -> None:
    for _ in range(4):
        source.ask(Step())
    heard.wait(StepMeasured, 4)
    source.ask(Fork(3, dense=7))
    heard.wait(StepMeasured, 5)
    source.ask(Step())
    heard.wait(StepMeasured, 6)
    source.ask(Prune(NOTHING))
    heard.wait(RunStarted, 2)
    heard.wait(RunPaused)
    again = [event.record.taken for event in heard.of(StepMeasured) if event.run == 2]
    assert [(taken.token_id, taken.forced) for taken in again if taken is not None and taken.forced] == [(7, True)]
    assert len(again) == 4
    assert again[2] is not None
    assert again[2].forced


def test_pruning_can_be_cancelled_and_changes_nothing(source: LiveSource, heard: Listener) -> None:
    source.ask(Step())
    heard.wait(StepMeasured)
    source.ask(Prune(SLOW))
    heard.wait(WorkProgressed, 8)
    source.ask(Cancel())
    assert heard.wait(Failed).kind is FailureKind.CANCELLED
    source.ask(Step())
    assert heard.wait(StepMeasured, 2).record == expected(2)[1]


def test_impossible_wishes_are_refused_in_words(source: LiveSource, heard: Listener) -> None:
    source.ask(Fork(99, dense=1))
    source.ask(Select(7))
    source.ask(Run(("whenever",)))
    heard.wait(Failed, 3)
    assert [event.title for event in heard.of(Failed)] == ["Fork", "Branch", "Run until"]
    source.ask(Step())
    heard.wait(StepMeasured)


def test_a_failure_while_stepping_is_told_once_and_not_tried_again_unasked(heard: Listener) -> None:
    pair = TinyPair()
    live = LiveSource(lambda _work: pair, SETTINGS)  # type: ignore[arg-type, return-value]
    live.open(heard)
    heard.wait(RunStarted)
    source_step = live._lockstep.step

    def fail(**_forced: int) -> StepRecord:
        raise RuntimeError("no luck")

    live._lockstep.step = fail
    live.ask(Run(("steps=40",)))
    assert "no luck" in heard.wait(Failed).message
    assert live.wait_idle(20)
    assert len(heard.of(Failed)) == 1
    live._lockstep.step = source_step
    seen = len(heard.steps())
    live.ask(Run(("steps=1",)))
    heard.wait(StepMeasured, seen + 1)
    assert [r.step for r in heard.steps()] == list(range(1, seen + 2))
    live.close()


def test_a_model_that_can_not_be_loaded_is_a_failure_in_words(heard: Listener) -> None:
    def refuse(_work: object) -> TinyPair:
        raise BadInput("No such model", "There is no model there.", "Name a folder.")

    live = LiveSource(refuse, SETTINGS)  # type: ignore[arg-type]
    live.open(heard)
    assert heard.wait(Failed).hint == "Name a folder."
    live.ask(Step())
    live.close()


def test_closing_stops_even_a_load(heard: Listener) -> None:
    left = threading.Event()

    def slow(work: Work) -> TinyPair:
        try:
            while True:
                work.report("Loading", 1, 100)
        finally:
            left.set()

    live = LiveSource(slow, SETTINGS)  # type: ignore[arg-type]
    live.open(heard)
    heard.wait(WorkProgressed)
    live.close()
    assert left.wait(20)


def test_pruning_anew_measures_as_many_steps_as_there_were_beyond_the_settings(heard: Listener) -> None:
    live = LiveSource(lambda _work: TinyPair(), replace(SETTINGS, steps=6))  # type: ignore[arg-type, return-value]
    live.open(heard)
    live.ask(Run())
    heard.wait(RunPaused)
    live.ask(Run())
    heard.wait(RunPaused, 2)
    assert len(heard.steps()) == 12
    live.ask(Prune(HALF))
    paused = heard.wait(RunPaused, 3)
    live.close()
    assert len(heard.steps()) == 24
    assert (paused.why, paused.step) == (Why.MEASURED, 12)


def test_pruning_anew_reads_the_tokens_that_the_run_has_read(heard: Listener) -> None:
    class OtherDay(TinyPair):
        def __init__(self) -> None:
            super().__init__()
            self.days = 0

        def prompt(self, settings: RunSettings) -> Prompt:
            self.days += 1
            return Prompt(f"day {self.days}", (self.days, *PROMPT))

    live = LiveSource(lambda _work: OtherDay(), replace(SETTINGS, steps=2))  # type: ignore[arg-type, return-value]
    live.open(heard)
    live.ask(Run())
    heard.wait(RunPaused)
    live.ask(Prune(HALF))
    heard.wait(RunPaused, 2)
    live.close()
    first, second = heard.of(RunStarted)
    assert first.header.prompt_ids == second.header.prompt_ids == (1, *PROMPT)
    assert [step.dense and step.dense.p for step in heard.steps()[:2]] == [
        step.dense and step.dense.p for step in heard.steps()[2:]
    ]


def test_a_text_that_has_ended_takes_no_token(heard: Listener) -> None:
    class Ending(TinyPair):
        def lockstep(self, settings: RunSettings, prompt: Prompt | None = None) -> Lockstep:
            return Lockstep(self.dense, self.pruned, Words(), PROMPT, settings, ends_dense=frozenset(range(128)))

    live = LiveSource(lambda _work: Ending(), replace(SETTINGS, follow=Follow.FREE, steps=4))  # type: ignore[arg-type, return-value]
    live.open(heard)
    live.ask(Run())
    heard.wait(RunPaused)
    live.ask(Fork(3, dense=7))
    assert "ended before step 3" in heard.wait(Failed).message
    assert not heard.of(BranchOpened)
    live.ask(Fork(3, dense=7, pruned=8))
    assert heard.wait(BranchOpened).branch.label == "step 3: '8 ' on pruned"
    live.close()


def test_a_pause_right_after_a_run_was_asked_for_is_not_lost(heard: Listener) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def slow(_work: object) -> TinyPair:
        entered.set()
        go_on.wait(10)
        return TinyPair()

    live = LiveSource(slow, SETTINGS)  # type: ignore[arg-type]
    live.open(heard)
    entered.wait(10)
    live.ask(Run())
    live.ask(Pause())
    go_on.set()
    heard.wait(RunStarted)
    live.ask(Step())
    heard.wait(StepMeasured)
    live.close()
    assert not heard.of(RunResumed)
    assert len(heard.steps()) == 1


def test_what_is_asked_for_is_shown_before_the_step_under_way_is_done(source: LiveSource, heard: Listener) -> None:
    source._lock.acquire()  # the measuring thread is busy and can release nothing
    try:
        before = len(heard.of(WorkProgressed))
        source.ask(Prune(HALF))
        assert heard.of(WorkProgressed)[before].task == f"Pruning by {HALF}"
        source.ask(Restart(RunSettings("again", steps=3)))
        assert heard.of(WorkProgressed)[-1].task == "Reading the prompt"
    finally:
        source._lock.release()
    heard.wait(RunStarted, 3)


def test_a_change_that_is_cancelled_before_it_begins_changes_nothing(heard: Listener) -> None:
    class Careful(TinyPair):
        def repruned(self, setting: Setting, work: Work) -> TinyPair:
            work.check("Calibrating")
            return super().repruned(setting, work)

    live = LiveSource(lambda _work: Careful(), SETTINGS)  # type: ignore[arg-type, return-value]
    live.open(heard)
    heard.wait(RunStarted)
    with live._lock:
        live.ask(Prune(HALF))
        live.ask(Cancel())
    assert heard.wait(Failed).kind is FailureKind.CANCELLED
    live.ask(Prune(HALF))
    heard.wait(RunStarted, 2)
    live.close()


def test_loading_says_at_once_what_it_does_and_can_be_cancelled() -> None:
    told: list[WorkProgressed] = []
    with pytest.raises(Cancelled):
        loader(PairSpec(dense="nowhere", prune=HALF))(Work(told.append, lambda: len(told) > 0))
    assert [event.task for event in told] == [IMPORTING]


def test_a_full_collection_of_garbage_passes_over_the_modules_that_stay() -> None:
    code = (
        "import gc\n"
        "from explorer.sources.live import loader\n"
        "from probes.schema.prune_setting import parse\n"
        "from probes.schema.spec import PairSpec\n"
        "from probes.system.progress import UNWATCHED\n"
        "try:\n"
        "    loader(PairSpec(dense='./nowhere', prune=parse('magnitude:0.5')))(UNWATCHED)\n"
        "except Exception as problem:\n"
        "    print(type(problem).__name__, gc.get_freeze_count() > 4 * len(gc.get_objects()))\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == ["BadInput", "True"]


def test_a_prompt_is_shown_as_tokens_while_the_run_stays(heard: Listener) -> None:
    tokenizer = byte_tokenizer()
    one = Loaded(tiny("llama", vocab_size=len(tokenizer)), tokenizer, INFO)
    live = LiveSource(lambda _work: Pair(one, one, None), RunSettings("the cat", steps=4))
    live.open(heard)
    heard.wait(RunStarted)
    live.ask(Run())
    asked = RenderPrompt(RunSettings("why", turns=(Turn("system", "be brief"),)))
    refused = RenderPrompt(RunSettings("why", chat_template="short"))
    live.ask(asked)
    live.ask(refused)
    assert live.wait_idle(20)
    shown, fault = heard.of(PromptRendered)
    assert (shown.request, fault.request) == (asked.id, refused.id)
    assert shown.found is not None
    assert shown.found.text == "<|system|>be brief<|end|><|user|>why<|end|><|assistant|>"
    assert [token.token for token in shown.found.tokens if token.kind == "special"][:2] == ["<|system|>", "<|end|>"]
    assert fault.found is None
    assert "no chat template 'short'" in fault.fault
    assert len(heard.of(StepMeasured)) == 4, "the run goes on"
    assert len(heard.of(RunStarted)) == 1
    live.close()
