"""The passages at which two models differ most, against stepping through each of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import pytest

from probes.pair import Pair
from probes.schema.errors import BadInput, Cancelled
from probes.schema.passages import Order, Passage, Passages
from probes.schema.summary import summarise
from probes.system.progress import Work
from probes.tasks.item_files import item_set
from probes.tasks.passages import LENGTH, _prompts, find_passages
from tests.support.scoring import TEXT, TOKENIZER, foreign_pair, loaded

LONG = "\n".join(f"{number}: {TEXT[number : number + 90]}é, the singing ring." for number in range(0, 60, 7))


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(LONG, "utf-8")
    return path


def last(pair: Pair, where: Path, **options) -> Passages:
    return list(find_passages(pair, str(where), **options))[-1]


def test_the_passages_are_the_whole_text_in_order_of_their_places(text: Path) -> None:
    found = last(foreign_pair(), text, most=1000)
    rows = sorted(found.rows, key=lambda one: one.place)
    assert "".join(one.text for one in rows) == LONG
    assert [one.place for one in rows] == [sum(len(one.text) for one in rows[:at]) for at in range(len(rows))]
    assert found.scored == len(rows)
    assert found.tokens == sum(one.steps for one in rows) == len(TOKENIZER(LONG)["input_ids"])
    assert max(one.steps for one in rows) <= LENGTH
    assert rows[0].context == ""
    assert all(one.context.endswith(LONG[max(0, one.place - 5) : one.place]) for one in rows)
    assert not any(one.lined for one in rows)


def test_a_set_that_ships_is_searched_by_its_texts() -> None:
    found = last(foreign_pair(), Path("answers"), most=3)
    assert len(found.rows) == 3
    prompts = item_set("answers").prompts
    assert found.scored >= len(prompts)
    assert all(one.source == "answers" and one.lined for one in found.rows)
    assert all(f"{one.context}{one.text}".endswith(prompts[one.place - 1].prompt) for one in found.rows)


def test_the_figures_of_a_passage_are_those_of_the_run_that_opens_it(text: Path) -> None:
    pair = foreign_pair()
    found = last(pair, text, most=1000)
    for one in (found.rows[0], found.rows[-1], next(row for row in found.rows if not row.context)):
        with pair.lockstep(one.run) as lockstep:
            steps = list(lockstep)
        summary = summarise(steps)
        assert one.steps == len(steps)
        assert one.mean_kl == pytest.approx(summary.kl.mean, rel=1e-6)
        assert one.max_kl == pytest.approx(summary.kl.max, rel=1e-6)
        assert steps[one.max_kl_at - 1].own.p.kl == pytest.approx(one.max_kl, rel=1e-6)
        assert one.first_split == summary.first_split
        assert one.agree_rate == pytest.approx(summary.agree_rate)
        assert one.dp == pytest.approx(sum(step.taken.q - step.taken.p for step in steps) / len(steps), rel=1e-6)
        assert one.rank_change == max(step.own.p.rank_dense_in_pruned for step in steps) - 1
        start, end = one.worst
        assert one.text[start:end] == steps[one.max_kl_at - 1].taken.text


KEYS: dict[Order, Callable[[Passage], float]] = {
    "mean_kl": lambda one: -one.mean_kl,
    "max_kl": lambda one: -one.max_kl,
    "first_split": lambda one: one.first_split or 10**9,
    "dp": lambda one: -abs(one.dp),
    "rank_change": lambda one: -one.rank_change,
}


def test_each_order_lists_the_most_different_first_and_only_so_many(text: Path) -> None:
    pair = foreign_pair()
    every = last(pair, text, most=1000).rows
    assert len(every) > 3
    for order in get_args(Order):
        found = last(pair, text, order=order, most=3).rows
        assert [KEYS[order](one) for one in found] == sorted(map(KEYS[order], every))[:3]
        assert set(found) <= set(every)


def test_lists_improve_and_the_last_one_is_whole(text: Path) -> None:
    lists = list(find_passages(foreign_pair(), str(text), most=5))
    assert len(lists) > 1
    assert [found.scored for found in lists] == sorted({found.scored for found in lists})
    best = [found.rows[0].mean_kl for found in lists]
    assert best == sorted(best)


def test_prompts_of_a_file_of_lines_are_found_by_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    prompts = ["the ring", "12 singers", "a thing: the king"]
    path.write_text("\n".join(json.dumps({"prompt": prompt}) for prompt in prompts))
    found = last(foreign_pair(), path)
    assert {(one.place, one.text, one.lined) for one in found.rows} == {
        (number, prompt, True) for number, prompt in enumerate(prompts, 1)
    }
    assert {one.context for one in found.rows} == {""}


def test_texts_of_a_set_that_ships_have_the_ids_of_its_items() -> None:
    items = item_set("answers")
    found = [(one.line, one.item) for one in _prompts(items)]
    assert found == [(number, one.id) for number, one in enumerate(items.prompts, 1)]


def test_a_copy_of_the_dense_model_differs_nowhere(text: Path) -> None:
    found = last(Pair(loaded(), loaded(), None), text, most=1000)
    for one in found.rows:
        figures = (one.mean_kl, one.max_kl, one.first_split, one.agree_rate, one.dp, one.rank_change)
        assert figures == (0, 0, None, 1, 0, 0)


def test_a_search_can_be_cancelled_between_two_passes(text: Path) -> None:
    stopped: list[bool] = []
    lists = find_passages(foreign_pair(), str(text), work=Work(cancelled=lambda: bool(stopped)), most=3)
    assert next(lists).rows
    stopped.append(True)
    with pytest.raises(Cancelled):
        next(lists)


def test_bad_input_gets_a_sentence(tmp_path: Path) -> None:
    empty = tmp_path / "empty.txt"
    empty.write_text("")
    for where, most, message in (
        (empty, 5, "has no text"),
        (tmp_path / "none", 5, "There is no file"),
        (empty, 0, "0 passages"),
    ):
        with pytest.raises(BadInput, match=message):
            last(foreign_pair(), where, most=most)


def test_a_passage_names_its_run() -> None:
    one = Passage("a", 0, "before", "text", 1, 0.0, 0.0, 1, None, 1.0, 0.0, 0.0)
    assert (one.run.prompt, one.run.text, one.run.raw) == ("before", "text", True)
    alone = Passage("a", 0, "", "text", 1, 0.0, 0.0, 1, None, 1.0, 0.0, 0.0)
    assert (alone.run.prompt, alone.run.raw) == ("", False)
