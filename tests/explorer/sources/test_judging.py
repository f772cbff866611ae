"""Items are scored beside stepping: they change no step, can be stopped, and what was scored is kept by setting."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from explorer.sources.live import LiveSource
from probes.pair import Pair, pair_with_twin
from probes.schema.errors import FailureKind
from probes.schema.events import Event, Failed, ItemScored, Judged, Noticed, PassagesFound, RunStarted, StepMeasured
from probes.schema.prune_setting import parse
from probes.schema.requests import Cancel, FindPassages, Judge, Prune, Step
from probes.schema.settings import Follow, RunSettings
from probes.tasks.judge import judge
from probes.tasks.results_file import read_results, results_file, results_header
from tests.support.live import Listener
from tests.support.prune_models import FEW, loaded

SETTINGS = RunSettings("abcdef", follow=Follow.DENSE, steps=40)
TONES = "text,label\nabc,g\nbca,h\ncab,g\nacb,h\n"


def pair() -> Pair:
    return pair_with_twin(loaded("llama"), parse("magnitude:0.6"), FEW)


@pytest.fixture
def tones(tmp_path: Path) -> str:
    path = tmp_path / "tones.csv"
    path.write_text(TONES)
    return str(path)


@pytest.fixture(autouse=True)
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PHIER_RECORDINGS", str(tmp_path / "recordings"))
    return tmp_path / "recordings"


class Acting(Listener):
    """Does something with each scored item, which is between two passes."""

    act: Callable[[ItemScored], None] = staticmethod(lambda _event: None)

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, ItemScored):
            self.act(event)


def opened() -> tuple[LiveSource, Acting]:
    source, heard = LiveSource(lambda _work: pair(), SETTINGS), Acting()
    source.open(heard)
    heard.wait(RunStarted)
    return source, heard


def scored(heard: Listener, request: int) -> list[str]:
    return [event.result.item for event in heard.of(ItemScored) if event.request == request]


def test_every_item_and_a_final_verdict_answer_a_request(tones: str) -> None:
    source, heard = opened()
    request = Judge((tones,))
    source.ask(request)
    assert source.wait_idle(60)
    assert not heard.of(Failed)
    assert len(scored(heard, request.id)) == 4
    last = heard.of(Judged)[-1]
    assert last.request == request.id
    assert last.verdict.final
    assert last.verdict.setting == "magnitude:0.6"
    for event in heard.of(ItemScored):
        assert event.prompt.tokens == event.result.options.tokens, "the options that an opened run watches"
    source.close()


def test_what_is_known_is_sent_again_and_not_scored_again(tones: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, heard = opened()
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    seen = []
    from probes.tasks import scored_items

    score = scored_items.score_items
    monkeypatch.setattr(scored_items, "score_items", lambda *a, **k: seen.append(k["done"]) or score(*a, **k))
    again = Judge((tones,), margin=0.3)
    source.ask(again)
    assert source.wait_idle(60)
    assert len(seen[0]) == 4
    assert len(scored(heard, again.id)) == 4
    assert heard.of(Judged)[-1].verdict.margin == 0.3
    only = Judge((tones,), only_known=True)
    source.ask(only)
    assert source.wait_idle(60)
    assert len(seen) == 1
    assert heard.of(Judged)[-1].request == only.id
    source.close()


def test_a_step_is_taken_between_two_items_and_equals_one_without(tones: str) -> None:
    with pair().lockstep(SETTINGS) as lockstep:
        alone = [lockstep.step() for _ in range(3)]
    source, heard = opened()
    heard.act = lambda _event: source.ask(Step())
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    assert heard.steps()[:3] == alone
    assert len(heard.of(StepMeasured)) == 4
    source.close()


def test_cancelling_keeps_what_has_arrived(tones: str) -> None:
    source, heard = opened()
    request = Judge((tones,))
    heard.act = lambda _event: source.ask(Cancel(request.id))
    source.ask(request)
    assert source.wait_idle(60)
    [failed] = heard.of(Failed)
    assert (failed.kind, failed.request) == (FailureKind.CANCELLED, request.id)
    before = len(scored(heard, request.id))
    assert 0 < before < 4
    heard.act = lambda _event: None
    again = Judge((tones,))
    source.ask(again)
    assert source.wait_idle(60)
    assert len(scored(heard, again.id)) == 4
    assert heard.of(Judged)[-1].verdict.final
    source.close()


def test_another_setting_stops_it_and_the_earlier_one_finds_its_results(tones: str) -> None:
    source, heard = opened()
    request = Judge((tones,))
    pruned = False

    def prune(_event: ItemScored) -> None:
        nonlocal pruned
        if not pruned:
            pruned = True
            source.ask(Prune(parse("magnitude:0.2")))

    heard.act = prune
    source.ask(request)
    assert source.wait_idle(60)
    [failed] = heard.of(Failed)
    assert (failed.title, failed.request) == ("Not all scored", request.id)
    before = scored(heard, request.id)
    other = Judge((tones,), only_known=True)
    source.ask(other)
    assert source.wait_idle(60)
    assert heard.of(Judged)[-1].verdict.done == 0, "nothing is known of this setting"
    source.ask(Prune(parse("magnitude:0.6")))
    assert source.wait_idle(60)
    back = Judge((tones,), only_known=True)
    source.ask(back)
    assert source.wait_idle(60)
    assert heard.of(Judged)[-1].verdict.done == len(before) > 0
    assert scored(heard, back.id) == before
    source.close()


def test_items_that_can_t_be_read_are_a_failure_of_the_request(tmp_path: Path) -> None:
    source, heard = opened()
    request = Judge((str(tmp_path / "none.csv"),))
    source.ask(request)
    assert source.wait_idle(60)
    [failed] = heard.of(Failed)
    assert failed.request == request.id
    assert failed.kind is not FailureKind.UNEXPECTED
    source.close()


def test_passages_are_found_beside_stepping(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text("abcdef " * 60)
    source, heard = opened()
    request = FindPassages(str(path), "max_kl", 3)
    source.ask(request)
    source.ask(Step())
    assert source.wait_idle(60)
    assert not heard.of(Failed)
    *early, last = heard.of(PassagesFound)
    assert last.final
    assert not any(one.final for one in early)
    rows = last.found.rows
    assert 0 < len(rows) <= 3
    assert [row.max_kl for row in rows] == sorted((row.max_kl for row in rows), reverse=True)
    assert len(heard.of(StepMeasured)) == 1
    source.close()


def kept_file(heard: Listener) -> Path:
    where = heard.of(Judged)[-1].kept_in
    assert where
    return Path(where)


def test_what_is_scored_is_in_a_results_file_and_known_at_the_next_start(tones: str, recordings: Path) -> None:
    source, heard = opened()
    heard.act = lambda event: source.ask(Cancel(event.request))
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    source.close()
    before = [event.result for event in heard.of(ItemScored)]
    path = kept_file(heard)
    assert path.is_relative_to(recordings)
    assert list(read_results(path).results) == before
    assert 0 < len(before) < 4

    source, heard = opened()
    only = Judge(only_known=True)
    source.ask(only)
    assert source.wait_idle(60)
    assert [event.result for event in heard.of(ItemScored)] == before, "of the set that the file knows"
    assert heard.of(ItemScored)[0].prompt
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    source.close()
    assert heard.of(Judged)[-1].verdict.final
    kept = read_results(kept_file(heard))
    assert kept_file(heard) == path
    assert len(kept.results) == 4
    assert judge(kept.found, kept.item_sets) == heard.of(Judged)[-1].verdict


def test_a_file_that_another_program_writes_leaves_results_in_memory_with_a_notice(
    tones: str, recordings: Path
) -> None:
    header = results_header(pair())
    source, heard = opened()
    source.ask(Judge((tones,), only_known=True))
    assert source.wait_idle(60)
    assert heard.of(Judged)[-1].kept_in == "", "looking makes no file"
    assert not recordings.exists()
    act, heard.act = heard.act, lambda event: source.ask(Cancel(event.request))
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    heard.act = act
    with results_file(kept_file(heard), header):
        request = Judge((tones,))
        source.ask(request)
        assert source.wait_idle(60)
        assert len(scored(heard, request.id)) == 4
        assert heard.of(Judged)[-1].kept_in == ""
        [notice] = heard.of(Noticed)
        assert "Another program is writing" in notice.message
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    source.close()
    assert len(read_results(kept_file(heard)).results) == 4, "written as soon as it is free"


def test_items_that_changed_get_a_file_of_their_own(tones: str) -> None:
    source, heard = opened()
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    first = kept_file(heard)
    Path(tones).write_text(TONES.replace("acb,h", "acb,g"))
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    source.close()
    assert not heard.of(Noticed)
    assert kept_file(heard) != first
    assert len(read_results(first).results) == len(read_results(kept_file(heard)).results) == 4


def test_a_request_after_a_change_is_about_the_changed_model(tones: str) -> None:
    source, heard = opened()
    source.ask(Prune(parse("magnitude:0.2")))
    source.ask(Judge((tones,)))
    assert source.wait_idle(60)
    source.close()
    assert not heard.of(Failed)
    assert {event.verdict.setting for event in heard.of(Judged)} == {"magnitude:0.2"}
    assert len(heard.of(ItemScored)) == 4
