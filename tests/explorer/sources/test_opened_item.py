"""An item of a results file as a run: its models are loaded once, and pruned again for another setting."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.sources import opened_item
from explorer.sources.live import Loader
from explorer.sources.opened_item import ItemSource
from explorer.state.item_list import answer_steps, item_settings
from probes.pair import pair_with_twin
from probes.schema.events import Failed, RunStarted, StepMeasured
from probes.schema.prune_setting import parse
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec
from probes.schema.task_options import TaskOptions
from probes.schema.task_results import ItemPrompt, ItemResult
from probes.tasks.scored_items import score_items
from tests.support.live import Listener
from tests.support.scored_pairs import tiny_pair
from tests.support.task_results import prompts

ITEMS, STEPS = prompts(3), 4


def as_run(prompt: ItemPrompt) -> RunSettings:
    return item_settings(RunSettings(""), prompt)


def as_answered(prompt: ItemPrompt) -> RunSettings:
    return item_settings(RunSettings(""), prompt, STEPS)


def opened(spec: PairSpec, item: str, before: ItemSource | None = None) -> tuple[ItemSource, Listener]:
    source, heard = ItemSource(spec, ITEMS, item, as_run, before), Listener()
    source.open(heard)
    assert source.wait_idle(30)
    return source, heard


def test_models_are_loaded_once_and_pruned_for_each_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[PairSpec] = []

    def loader(spec: PairSpec) -> Loader:
        assert spec.prune is not None
        loads.append(spec)
        setting = spec.prune
        return lambda work: pair_with_twin(tiny_pair().dense, setting, work=work)

    monkeypatch.setattr(opened_item, "loader", loader)
    half = PairSpec(prune=parse("magnitude:0.5"))
    first, heard = opened(half, "answers-0")
    assert not heard.of(Failed)
    [started] = heard.of(RunStarted)
    assert "Prompt 0:" in started.header.settings.prompt
    assert started.header.title == "magnitude:0.5"
    assert len(heard.of(StepMeasured)) == 1, "the token that decides it"
    first.close()
    second, heard = opened(half, "answers-1", first)
    assert "Prompt 1:" in heard.of(RunStarted)[0].header.settings.prompt
    second.close()
    milder = replace(half, prune=parse("magnitude:0.2"))
    third, heard = opened(milder, "answers-0", second)
    assert heard.of(RunStarted)[0].header.title == "magnitude:0.2"
    assert loads == [half], "no model was loaded again"
    alone, expected = opened(milder, "answers-0")
    assert heard.of(StepMeasured)[0].record == expected.of(StepMeasured)[0].record, "bit for bit"
    other = replace(milder, dense="another")
    third.close()
    fourth, _ = opened(other, "answers-0", third)
    assert loads == [half, milder, other]
    for source in (alone, fourth):
        source.close()


def test_a_generated_answer_is_written_whole_by_each_model(monkeypatch: pytest.MonkeyPatch) -> None:
    pair = tiny_pair(noise=0.5)
    monkeypatch.setattr(opened_item, "loader", lambda _: lambda _: pair)
    (result,) = score_items(pair, [prompts(1)], options=TaskOptions(new_tokens=STEPS))
    assert isinstance(result, ItemResult)
    assert result.pruned.text != result.dense.text
    assert answer_steps(result) == STEPS
    source, heard = ItemSource(PairSpec(prune=parse("magnitude:0.5")), prompts(1), "answers-0", as_answered), Listener()
    source.open(heard)
    assert source.wait_idle(30)
    steps = [one.record for one in heard.of(StepMeasured)]
    dense = "".join(one.taken.text for one in steps if one.taken)
    pruned = "".join(one.taken_pruned.text if one.taken_pruned else one.taken.text for one in steps if one.taken)
    assert (dense, pruned) == (result.dense.text, result.pruned.text)
    source.close()
