"""Both models' passes at the same time: in threads, or with the dense model in a process of its own."""

from __future__ import annotations

import copy
import gc
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psutil
import pytest
import torch

from probes.schema.errors import BadInput, Cancelled
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import OverlapMode
from probes.stepping import computing_here, overlap, overlap_trial, reading_process
from probes.stepping.cached_model import CachedModel, CacheLost
from probes.stepping.forked_model import ForkedModel
from probes.stepping.lockstep import Lockstep
from probes.stepping.overlap import Overlap, choose_overlap
from probes.stepping.overlap_trial import STEPS, OverlapTrial
from probes.system.progress import Work
from probes.twin.twin import Twin
from tests.support.stepping import PROMPT, Words, damaged
from tests.support.tiny import tiny

MODES = (OverlapMode.NONE, OverlapMode.THREADS, OverlapMode.PROCESS)
TEXT = list(range(1, 14))


@contextmanager
def overlapping(dense, pruned, mode: OverlapMode = OverlapMode.PROCESS) -> Iterator[Overlap]:
    made = choose_overlap(dense, pruned, mode)
    assert made.mode == mode
    try:
        yield made
    finally:
        made.close()


def stepper(made: Overlap, dense, pruned, follow: Follow = Follow.DENSE, **options) -> Lockstep:
    text = TEXT if follow is Follow.TEXT else ()
    settings = RunSettings("prompt", follow=follow, text="text" if text else "", steps=5)
    prompt = options.pop("prompt", PROMPT)
    return Lockstep(*made.models(dense, pruned), Words(), prompt, settings, text_ids=text, **options)


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}


def journey(run: Lockstep) -> list[object]:
    """Everything that a run is asked for: steps, a fork, a branch, a run beside it, readings that explain a step."""
    found: list[object] = [*run]
    whole = list(run.path)
    run.seek(whole[:3])
    free = run.settings.follow is Follow.FREE
    found.append(
        run.step(dense=9, pruned=4 if free else None) if run.settings.follow is not Follow.TEXT else run.step()
    )
    with run.continued() as beside:
        found += [beside.step(), beside.step()]
    found.append(run.step())
    for model in run.models:
        reader, context = model.apart(), run.shared_context(3)
        for output in (reader.read([context]), reader.read_last([context, context], 2)):
            found += [output.hidden.tolist(), output.logits.tolist()]
        kept = reader.memory(context)
        found.append(model.read_on([context], kept).logits.tolist())
        found.append(model.states(context).tolist())
    run.seek(whole[:4])
    return [*found, run.step(), *(one.path for one in [run.apart(Follow.DENSE)])]


@pytest.mark.parametrize(
    ("architecture", "follow"),
    [("llama", Follow.FREE), ("gemma3", Follow.TEXT), ("mamba", Follow.DENSE)],
)
def test_every_figure_is_the_same_to_the_bit_however_the_passes_overlap(architecture, follow):
    dense = tiny(architecture)
    pruned = damaged(dense)
    found: list[str] = []
    for mode in MODES:
        with overlapping(dense, pruned, mode) as made, stepper(made, dense, pruned, follow) as run:
            found.append(repr(journey(run)))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("architecture", ["mistral-sliding", "gpt2"])
def test_an_exact_copy_differs_by_exactly_0(architecture, mode):
    dense = tiny(architecture)
    other = copy.deepcopy(dense)
    with overlapping(dense, other, mode) as made, stepper(made, dense, other, Follow.FREE) as run:
        assert {record.own.p.kl for record in run if record.own} == {0.0}
        readings = [model.apart().read_last([run.shared_context(4)], 3) for model in run.models]
        assert torch.equal(readings[0].logits, readings[1].logits)
        run.seek(run.path[:2])
        assert run.step().own.z.l2 == 0.0


@pytest.mark.parametrize("mode", MODES)
def test_the_pruned_model_changes_while_the_process_lives(mode):
    dense = tiny("llama")
    twin = Twin(dense)
    matrix = twin.anatomy.matrices[0].name
    with overlapping(dense, twin.model, mode) as made, stepper(made, dense, twin.model) as run:
        assert run.step().own.p.kl == 0.0
        before = twin.state
        twin.mask(matrix, torch.arange(twin.dense_weight(matrix).numel()).view(twin.shape(matrix)) % 2 == 0)
        with stepper(made, dense, twin.model) as changed:
            assert changed.step().own.p.kl > 0
        twin.set_state(before)
        assert run.step().own.p.kl == 0.0


def killed(made: Overlap) -> None:
    assert made._process is not None
    assert made._process.pid > 0
    os.kill(made._process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, made._process.pid, os.WEXITED | os.WNOWAIT)


def test_a_killed_process_is_replaced_by_a_thread_and_both_models_are_read_again():
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    with overlapping(dense, other) as made, stepper(made, dense, other) as run, stepper(made, dense, other) as second:
        run.step()
        second.step()
        assert run.take_news() == ""
        beside = run.models[0].apart()
        killed(made)
        with pytest.raises(CacheLost):
            beside.read([PROMPT])
        assert {run.step().own.p.kl, run.step().own.z.l2} == {0.0}
        news = run.take_news()
        assert "was ended by signal 9" in news
        assert "last digits of figures may differ" in news
        assert run.take_news() == ""
        assert made.mode is OverlapMode.THREADS
        dense_reader, reader = (model.apart() for model in second.models)
        context = second.shared_context(1)
        assert torch.equal(dense_reader.read([context]).logits, reader.read([context]).logits)
        assert second.step().own.p.kl == 0.0
        renewed = made.renewed(dense)
        assert renewed is made, "a process that was killed is not started again"


def test_a_process_that_is_killed_while_it_reads_is_noticed(monkeypatch):
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    with overlapping(dense, other) as made, stepper(made, dense, other) as run:
        run.step()
        asked = reading_process.ReadingProcess.ask_to_read

        def ask_and_kill(process, *given):
            os.kill(process.pid, signal.SIGSTOP)
            asked(process, *given)
            os.kill(process.pid, signal.SIGKILL)

        monkeypatch.setattr(reading_process.ReadingProcess, "ask_to_read", ask_and_kill)
        assert run.step().own.p.kl == 0.0
        assert "signal 9" in run.take_news()


def broken(*_args: object, **_named: object) -> None:
    raise ArithmeticError("no pass today")


@pytest.mark.parametrize("mode", MODES)
def test_an_error_in_a_pass_comes_as_itself_and_the_models_go_on(mode, monkeypatch):
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    feed = CachedModel._feed

    def failing(model, contexts: Sequence[Sequence[int]], *rest):
        if model.model is dense and contexts[0][-1] == 77:
            broken()
        return feed(model, contexts, *rest)

    monkeypatch.setattr(CachedModel, "_feed", failing)
    with overlapping(dense, other, mode) as made, stepper(made, dense, other) as run:
        run.step(dense=77)
        with pytest.raises(ArithmeticError, match="no pass today"):
            run.step()
        run.seek(())
        assert [run.step(dense=3).own.p.kl, run.step().own.p.kl] == [0.0, 0.0]
        assert made.mode is mode


@pytest.mark.parametrize("mode", MODES)
def test_a_long_prompt_can_be_cancelled_and_its_progress_is_that_of_both(mode, monkeypatch):
    monkeypatch.setattr("probes.stepping.cached_model.FILL", 4)
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    prompt = [number % 100 + 1 for number in range(60)]
    with overlapping(dense, other, mode) as made, stepper(made, dense, other, prompt=prompt) as run:
        with pytest.raises(Cancelled):
            run.prefill(Work(cancelled=lambda: True))
        reported: list[tuple[float | None, float | None]] = []
        run.prefill(Work(lambda one: reported.append((one.done, one.total))))
        assert reported
        assert {total for _, total in reported} == {120}
        assert max(done for done, _ in reported if done is not None) <= 120
        assert run.step().own.p.kl == 0.0


def test_a_reading_in_the_process_is_stopped_when_the_other_one_fails(monkeypatch):
    monkeypatch.setattr("probes.stepping.cached_model.FILL", 4)
    dense, prompt = tiny("llama"), [number % 100 + 1 for number in range(60)]
    other = copy.deepcopy(dense)
    with overlapping(dense, other) as made, stepper(made, dense, other, prompt=prompt) as run:
        dense_model, pruned_model = run.models
        assert isinstance(dense_model, ForkedModel)
        with monkeypatch.context() as patched:
            patched.setattr(pruned_model, "start", broken)
            with pytest.raises(ArithmeticError):
                run.step()
        assert run.step().own.p.kl == 0.0


def test_no_process_is_left_behind():
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    before = children()
    made = choose_overlap(dense, other, OverlapMode.PROCESS)
    assert len(children() - before) == 1
    with stepper(made, dense, other) as run:
        run.step()
        made.close()
        assert children() == before
        assert run.step().own.p.kl == 0.0, "it goes on in threads"
        assert run.take_news() == "", "it was meant"
    again = made.renewed(dense)
    assert again.mode is OverlapMode.PROCESS
    del again, run, made
    gc.collect()
    assert children() == before


@pytest.mark.parametrize(("why", "name"), [("did not answer", "PATIENCE"), ("could not be started", "os.fork")])
def test_without_a_process_both_models_compute_in_threads(why, name, monkeypatch):
    def full() -> int:
        raise OSError("no more processes")

    dense = tiny("llama")
    other = copy.deepcopy(dense)
    before = children()
    monkeypatch.setattr(f"probes.stepping.reading_process.{name}", full if name == "os.fork" else 0.0)
    made = choose_overlap(dense, other, OverlapMode.PROCESS)
    assert made.mode is OverlapMode.THREADS
    assert why in made.note
    assert children() == before


def test_what_is_impossible_is_refused_and_small_models_are_left_alone(monkeypatch):
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    with pytest.raises(BadInput, match="both models are one"):
        choose_overlap(dense, dense, OverlapMode.THREADS)
    monkeypatch.setattr("sys.platform", "darwin")
    with pytest.raises(BadInput, match="only Linux"):
        choose_overlap(dense, other, OverlapMode.PROCESS)
    assert choose_overlap(dense, other).mode is OverlapMode.NONE


QUICK = [(way, 1, 2) for way in (OverlapMode.THREADS, OverlapMode.PROCESS) * 2]


@pytest.fixture
def on_two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two cores, models that are not too small, and a trial of twelve steps, whose process begins at the fourth."""
    monkeypatch.setattr(overlap, "SMALL", 0)
    monkeypatch.setattr(overlap_trial, "TURNS", QUICK)
    monkeypatch.setattr(overlap_trial, "STEPS", 12)
    monkeypatch.setattr(computing_here, "cores", lambda: 2)


def seconds_of(trial: OverlapTrial, rows: int, **seconds: float) -> OverlapMode:
    """The verdict if steps take so long."""
    ways = []
    for _ in range(STEPS):
        ways.append(trial.way(rows))
        trial.took(rows, seconds[str(ways[-1])])
    assert ways[:16] == [OverlapMode.THREADS] * 16, "a short run never begins a process"
    assert {*ways} == {OverlapMode.THREADS, OverlapMode.PROCESS}
    return trial.way(rows)


def test_the_trial_chooses_the_faster_way_for_each_number_of_contexts():
    trial = OverlapTrial()
    assert seconds_of(trial, 1, threads=0.1, process=0.07) is OverlapMode.PROCESS
    assert seconds_of(trial, 2, threads=0.1, process=0.099) is OverlapMode.THREADS, "not worth a process"
    assert trial.way(1) is OverlapMode.PROCESS
    assert trial.take_news() == ""


def test_steps_that_are_slow_for_another_reason_do_not_decide():
    trial = OverlapTrial()
    usual = {OverlapMode.THREADS: 0.1, OverlapMode.PROCESS: 0.08}
    for number in range(STEPS):
        way = trial.way(1)
        disturbed = number < 10 or (way is OverlapMode.PROCESS and number % 3 == 0)
        trial.took(1, 9.0 if disturbed else usual[way])
    assert trial.way(1) is OverlapMode.PROCESS


@pytest.mark.parametrize("gain", [99.0, 0.0])
@pytest.mark.usefixtures("on_two_cores")
def test_a_trial_among_the_steps_of_a_run_changes_no_figure(gain, monkeypatch):
    monkeypatch.setattr(overlap_trial, "_GAIN", gain)
    dense = tiny("llama")
    pruned, before = damaged(dense), children()
    settings = RunSettings("prompt", follow=Follow.FREE, steps=24)

    def measured(made: Overlap) -> Iterator[object]:
        with Lockstep(*made.models(dense, pruned), Words(), PROMPT, settings) as run:
            yield from run
            yield run.models[0].apart().read([run.shared_context(3)]).logits.tolist()
            run.seek(run.path[:5])
            yield run.step(dense=9)
            if made._mode is not OverlapMode.NONE:
                assert run.take_news() == "", "nobody has to know: the figures are the same"

    made = choose_overlap(dense, pruned, threads=1)
    assert made.note == ""
    assert children() == before
    found = list(measured(made))
    assert made.mode is (OverlapMode.PROCESS if gain else OverlapMode.THREADS)
    assert len(children() - before) == 1
    made.close()
    assert children() == before
    with overlapping(dense, pruned, OverlapMode.NONE) as one_by_one:
        assert found == list(measured(one_by_one))
    assert made.renewed(dense).mode is OverlapMode.THREADS, "another trial"


@pytest.mark.usefixtures("on_two_cores")
def test_a_process_that_is_killed_during_the_trial_is_not_begun_again():
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    made = choose_overlap(dense, other, threads=1)
    with stepper(made, dense, other, prompt=[*PROMPT, *range(1, 9)]) as run:
        for _ in range(5):
            run.step()
        killed(made)
        assert {run.step().own.p.kl for _ in range(12)} == {0.0}
        news = run.take_news()
        assert "signal 9" in news
        assert "a step's passes took" not in news, "nothing was decided"
        assert made.mode is OverlapMode.THREADS


@pytest.mark.usefixtures("on_two_cores")
def test_the_trial_ends_in_threads_if_there_is_no_process_or_too_much_to_send(monkeypatch):
    dense = tiny("llama")
    other, before = copy.deepcopy(dense), children()
    for name, value, said in [
        ("probes.stepping.forked_model.MOST_SENT", 0, ""),
        ("probes.stepping.reading_process.PATIENCE", 0.0, "did not answer, so both models compute in threads"),
    ]:
        with monkeypatch.context() as patched:
            patched.setattr(name, value)
            made = choose_overlap(dense, other, threads=1)
            with stepper(made, dense, other) as run:
                assert {run.step().own.p.kl for _ in range(5)} == {0.0}
                assert said in run.take_news()
                assert made.mode is OverlapMode.THREADS
                assert children() == before


@pytest.mark.usefixtures("on_two_cores")
def test_one_core_reads_one_after_the_other_and_other_systems_in_threads(monkeypatch):
    dense = tiny("llama")
    other = copy.deepcopy(dense)
    monkeypatch.setattr("sys.platform", "darwin")
    made = choose_overlap(dense, other, threads=1)
    assert made.mode is OverlapMode.THREADS
    assert made.note == ""
    monkeypatch.setattr(computing_here, "cores", lambda: 1)
    assert choose_overlap(dense, other).mode is OverlapMode.NONE


def test_graphs_are_for_models_on_a_gpu() -> None:
    model = tiny("llama")
    with pytest.raises(BadInput, match="not on one GPU alone"):
        choose_overlap(model, damaged(model), OverlapMode.GRAPHS)
