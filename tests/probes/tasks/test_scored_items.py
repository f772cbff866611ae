"""Items of every kind are scored in turn, can be interrupted, and depend on nothing but the item."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

import pytest

from probes.schema.errors import BadInput, Cancelled
from probes.schema.events import WorkProgressed
from probes.schema.items import Document, ShortAnswer
from probes.schema.settings import RunSettings
from probes.schema.task_options import Pooling, TaskOptions
from probes.schema.task_results import ItemResult, Similarities
from probes.system.progress import Work
from probes.tasks import scored_items
from tests.support.scored_pairs import EVERY_KIND, FIND, LETTERS, SAY, WORDS, by_item, tiny_pair
from tests.support.stepping import ONES, ZEROS

ITEMS = [(items.name, one.id) for items in (LETTERS, WORDS) for one in items.questions]
ITEMS += [(FIND.name, query.id) for query in FIND.collection.queries] + [(SAY.name, one.id) for one in SAY.prompts]

QUICK = TaskOptions(new_tokens=3)


def score_items(*given: Any, options: TaskOptions = QUICK, **more: Any) -> Iterator[ItemResult | Similarities]:
    """With short answers."""
    return scored_items.score_items(*given, options=options, **more)


@pytest.mark.parametrize(
    ("architecture", "pooling"),
    [("llama", Pooling.LAST), *((one, Pooling.MEAN) for one in ("gemma3", "gpt2", "mamba"))],
)
def test_an_exact_copy_gives_differences_of_exactly_0(architecture: str, pooling: Pooling) -> None:
    scored = list(score_items(tiny_pair(architecture, 0.0), EVERY_KIND, options=TaskOptions(pooling, new_tokens=3)))
    assert set(by_item(scored)) == {*ITEMS, (FIND.name, "")}
    for one in scored:
        if isinstance(one, Similarities):
            assert one.dense == one.pruned
            continue
        assert one.dense == one.pruned
        assert not one.notes
        for space in ("h", "z", "p"):
            figures = getattr(one.spaces, space)
            assert [getattr(figures, name) for name in ZEROS[space]] == [0.0] * len(ZEROS[space])
            assert [getattr(figures, name) for name in ONES[space]] == [1.0] * len(ONES[space])
        if one.options:
            assert one.options.p == one.options.q
            assert (one.options.kl, one.options.kl_reverse, one.options.cos) == (0.0, 0.0, 1.0)
        if one.ranking:
            assert (one.ranking.tau, one.ranking.moved) == (1.0, ())
        if one.generation:
            assert (one.generation.kl, one.generation.survival, one.generation.agree_rate) == (0.0, 1.0, 1.0)
            assert (one.generation.first_split, one.generation.half_life) == (None, None)


@pytest.mark.parametrize("architecture", ["llama", "mamba"])
def test_the_results_are_the_same_in_every_repetition_and_order(architecture: str) -> None:
    pair = tiny_pair(architecture)
    first = by_item(score_items(pair, EVERY_KIND))
    assert by_item(score_items(pair, EVERY_KIND)) == first
    alone = [score_items(pair, [items]) for items in EVERY_KIND[::-1]]
    assert by_item(one for scored in alone for one in scored) == first


@pytest.mark.parametrize("stop", [0, 5, 10, 11])
def test_a_run_that_was_interrupted_and_goes_on_gives_what_one_left_alone_gives(stop: int) -> None:
    pair = tiny_pair()
    whole = list(score_items(pair, EVERY_KIND))
    assert len(whole) == len(ITEMS) + 1
    begun = list(islice(score_items(pair, EVERY_KIND), stop))
    done = [(one.task, one.item) for one in begun if isinstance(one, ItemResult)]
    rest = list(score_items(pair, EVERY_KIND, done=done))
    assert {(one.task, one.item) for one in rest if isinstance(one, ItemResult)} == set(ITEMS) - set(done)
    assert {**by_item(begun), **by_item(rest)} == by_item(whole)


def test_nothing_is_left_to_do_if_all_items_are_done() -> None:
    heard: list[WorkProgressed] = []
    assert list(score_items(tiny_pair(), EVERY_KIND, Work(heard.append), done=ITEMS)) == []
    assert [(one.done, one.total) for one in heard] == [(0, 0)]


def test_the_similarities_come_before_the_last_result_of_their_task() -> None:
    scored = list(score_items(tiny_pair(), [FIND]))
    assert [type(one).__name__ for one in scored] == ["ItemResult", "ItemResult", "Similarities", "ItemResult"]


def test_the_tasks_advance_together_and_progress_is_in_texts() -> None:
    heard: list[WorkProgressed] = []
    scored = list(score_items(tiny_pair(), EVERY_KIND, Work(heard.append)))
    assert {one.task for one in scored[:5]} == {"letters", "words", "say"}
    assert scored[-1].task == "find"
    total = len(ITEMS) + len(FIND.collection.documents)
    assert [(one.done, one.total) for one in heard] == [(done, total) for done in range(total + 1)]


def test_scoring_can_be_cancelled_between_two_passes() -> None:
    checks = 0

    def stop() -> bool:
        nonlocal checks
        checks += 1
        return checks > 50

    found = []
    with pytest.raises(Cancelled):
        found.extend(score_items(tiny_pair(), EVERY_KIND, Work(cancelled=stop)))
    assert checks == 51


def test_a_run_of_the_same_pair_goes_on_undisturbed() -> None:
    pair = tiny_pair()
    settings = RunSettings("the cat", raw=True, steps=6)
    with pair.lockstep(settings) as alone:
        expected = list(alone)
    with pair.lockstep(settings) as lockstep:
        steps = [lockstep.step() for _ in range(3)]
        scoring = score_items(pair, EVERY_KIND)
        for _ in range(3):
            next(scoring)
            steps.append(lockstep.step())
    assert steps == expected


def flat(value: Any, before: str = "") -> dict[str, float]:
    """All numbers in a value, by their paths."""
    if isinstance(value, dict):
        return {name: one for key, part in value.items() for name, one in flat(part, f"{before}.{key}").items()}
    if isinstance(value, tuple | list):
        return flat(dict(enumerate(value)), before)
    return {before: float(value)} if isinstance(value, int | float) else {}


def test_every_figure_is_a_number() -> None:
    for one in score_items(tiny_pair(), EVERY_KIND):
        assert all(math.isfinite(number) for number in flat(asdict(one)).values())


@pytest.mark.parametrize("items", EVERY_KIND)
def test_an_item_longer_than_the_context_is_refused_before_anything_is_scored(items: Any) -> None:
    long = "word " * 300
    if items is FIND:
        many = replace(FIND.collection, documents=(*FIND.collection.documents, Document("long", long)))
        changed, options = replace(FIND, collection=many), replace(QUICK, refuse_long=True)
    elif items is SAY:
        changed, options = replace(SAY, prompts=(*SAY.prompts, ShortAnswer("long", long, ("x",)))), QUICK
    else:
        question = replace(LETTERS.questions[0], id="long", question=long)
        changed, options = replace(items, questions=(*items.questions, question)), QUICK
    with pytest.raises(BadInput, match=rf"long of {items.name} has 1,\d\d\d tokens, .* at most 256"):
        score_items(tiny_pair(), [changed], options=options)


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(BadInput, match="'letters'"):
        score_items(tiny_pair(), [LETTERS, LETTERS])
