"""What is asked for to explain a step, in which order, and what is cancelled."""

from __future__ import annotations

from explorer.state.explain_requests import NEAR_STEPS, ExplainRequests, wanted
from explorer.state.view import View
from probes.schema.errors import FailureKind
from probes.schema.events import Failed, RunStarted, WorkProgressed
from probes.schema.requests import Cancel, Explain, FindRepair, Run
from tests.support.explained_source import ExplainedSource, layers, swaps


def opened(steps: int) -> tuple[ExplainedSource, View, ExplainRequests]:
    source, view = ExplainedSource(), View()
    source.open(view.apply)
    source.advance(steps)
    source.held = {"layers", "split", "swaps", "quadrants", "fork", "noise_floor"}
    return source, view, ExplainRequests(source, view)


def kinds(source: ExplainedSource) -> list[str]:
    return [one.kinds[0] for one in source.asked if isinstance(one, Explain)]


def test_the_culprit_comes_before_the_steps_around_it() -> None:
    _, view, _ = opened(100)
    found = wanted(view)
    assert [one.kind for one in found] == ["layers", "split", "swaps", "quadrants", "layers", "noise_floor"]
    assert (found[4].step, found[4].through, found[4].near) == (100 - NEAR_STEPS + 1, 100, 100)
    assert wanted(View()) == []


def test_what_is_looked_at_comes_first_and_the_rest_is_asked_for_again() -> None:
    source, view, requests = opened(3)
    requests.want(wanted(view))
    before = list(source.asked)
    requests.want(wanted(view))
    assert source.asked == before
    requests.want(wanted(view, shown="quadrants"))
    assert source.asked[6:11] == [Cancel(one.id) for one in before[1:]], "the layers are left alone"
    assert kinds(source)[6:] == ["quadrants", "split", "swaps", "layers", "noise_floor"]
    assert [one.kind for one in wanted(view, shown="split")][:3] == ["layers", "split", "fork"]
    assert [one.kind for one in wanted(view, shown="noise_floor")][:2] == ["layers", "noise_floor"]
    assert [one.level for one in wanted(view, level="matrix")][:2] == ["sublayer", "matrix"]


def test_a_failure_is_kept_and_not_asked_again_until_a_retry() -> None:
    source, view, requests = opened(3)
    source.broken["swaps"] = "No."
    things = wanted(view)
    requests.want(things)
    asked = len(source.asked)
    requests.want(things)
    assert len(source.asked) == asked
    refused = requests.refused(things[2])
    assert refused is not None
    assert refused.message == "No."
    assert view.failure is None
    requests.retry()
    requests.want(things)
    assert kinds(source)[-4] == "swaps"


def test_what_was_cancelled_can_be_asked_for_again() -> None:
    source, view, requests = opened(3)
    things = wanted(view)
    requests.want(things)
    requests.stop()
    assert requests.computed is None
    assert all(requests.refused(one) is None for one in things)
    requests.want(things)
    assert kinds(source) == [one.kind for one in (*things, *things)]


def windows(source: ExplainedSource) -> list[tuple[int, int | None]]:
    return [(one.step, one.through) for one in source.asked if isinstance(one, Explain) and one.near is not None]


def test_each_new_step_behind_which_a_person_looks_back_asks_only_for_its_own_layers() -> None:
    source, view, requests = opened(9)
    view.move_to(5)
    requests.want(wanted(view))
    assert windows(source) == [(1, 9)]
    source.find(5, layers(5))
    source.advance(1)
    requests.want(wanted(view))
    assert windows(source) == [(1, 9), (10, 10)]
    assert not any(isinstance(one, Cancel) and one.request == _window(source) for one in source.asked)
    for step in range(1, 10):
        source.find(step, layers(step))
    requests.want(wanted(view))
    assert windows(source) == [(1, 9), (10, 10)]
    source.find(10, layers(10))
    source.advance(2)
    requests.want(wanted(view))
    assert windows(source)[2:] == [(11, 12)]
    view.move_to(4)
    requests.want(wanted(view))
    assert windows(source)[3:] == [(11, 12)], "the nearest steps come first from there"


def _window(source: ExplainedSource) -> int:
    return next(one.id for one in source.asked if isinstance(one, Explain) and one.near is not None)


def test_progress_is_that_of_the_work_beside_stepping() -> None:
    source, view, requests = opened(3)
    requests.want(wanted(view))
    found = requests.progress
    assert found is not None
    assert found.task == "Healing"
    assert view.work is None, "stepping is not held up"
    assert requests.computed is not None
    source.find(3, swaps())
    assert requests.progress is None


def test_another_run_forgets_what_was_asked() -> None:
    source, view, requests = opened(3)
    requests.want(wanted(view))
    assert view.header is not None
    view.apply(RunStarted(view.run + 1, view.header))
    requests.want([])
    assert not any(isinstance(one, Cancel) for one in source.asked), "the source has dropped them itself"
    [late] = [one for one in source.asked if isinstance(one, Explain) and one.near]
    view.apply(Failed("No such step", "Step 3 is not there.", request=late.id))
    assert view.failure is None, "what fails of the earlier run is no failure of this one"
    assert requests.progress is None


def test_a_search_and_its_end() -> None:
    source, view, requests = opened(3)
    source.held.add("repair")
    requests.want(wanted(view))
    waiting = [one.id for one in source.asked if isinstance(one, Explain)]
    request = FindRepair(3, target_kl=0.1)
    requests.repair(request)
    assert source.asked[len(waiting) :] == [*map(Cancel, waiting), request], "a search comes first"
    requests.want(wanted(view))
    assert source.asked[-1] == request
    assert requests.searching
    assert isinstance(requests.repair_answer, WorkProgressed)
    assert requests.cancel_repair()
    assert not requests.searching
    assert not requests.cancel_repair()
    source.held.remove("repair")
    requests.repair(FindRepair(3, target_kl=0.1))
    assert not requests.searching


def test_a_failed_search_says_so() -> None:
    source, view, requests = opened(3)
    source.held.add("repair")
    request = FindRepair(3, target_kl=0.1)
    requests.repair(request)
    view.apply(Failed("Repair", "Nothing is pruned.", kind=FailureKind.FAILURE, request=request.id))
    assert isinstance(requests.repair_answer, Failed)
    assert not requests.searching


def test_a_run_has_the_models_first() -> None:
    source, view, _ = opened(3)
    source.ask(Run())
    assert not wanted(view)
    view.move_to(2)
    assert [(one.kind, one.step) for one in wanted(view)] == [
        ("layers", 2), ("split", 2), ("swaps", 2), ("quadrants", 2),
    ]  # fmt: skip


def test_marks() -> None:
    _, view, _ = opened(9)
    view.move_to(4)
    view.mark(first=True)
    assert (view.span, view.explained_steps) == ((4, 4), (4, None))
    view.move_to(7)
    view.mark(first=False)
    assert (view.span, view.explained_steps) == ((4, 7), (4, 7))
    assert [(one.step, one.through) for one in wanted(view) if one.kind == "swaps"] == [(4, 7)]
    view.move_to(2)
    view.mark(first=False)
    assert view.span == (2, 2), "a span never ends before it begins"
    view.mark(first=False)
    assert view.span is None
    View().mark(first=True)
