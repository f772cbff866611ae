"""Finding steps of a run: by text, by figures, by events; incrementally and from the start alike."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import msgspec
import pytest

from explorer.sources.toy.step import Accidents
from explorer.state.step_query import margin, parse_query, query_names
from explorer.state.step_search import StepSearch
from explorer.words.model_texts import written_token
from probes.schema.errors import BadInput
from probes.schema.flat_step import figures
from probes.schema.record import StepRecord
from probes.schema.settings import Follow
from tests.support.keys import usual
from tests.support.records import recorded_events, records


def found(text: str, path: Sequence[StepRecord], follow: Follow = Follow.FREE) -> list[int]:
    return list(StepSearch(text).steps(path, follow, 0, lambda _: False))


@pytest.fixture(scope="module")
def path() -> list[StepRecord]:
    return records(recorded_events(60))


def test_a_bound_finds_the_steps_that_a_plain_look_finds(path: list[StepRecord]) -> None:
    shared = [step.shared or step.own for step in path]
    assert found("kl>0.5", path) == [s.step for s, one in zip(path, shared, strict=True) if one and one.p.kl > 0.5]
    assert found("KL > .5", path) == found("shared.p.kl>0.5", path) == found("kl>0.5", path) != []
    assert found("angle>=10", path) == [
        s.step for s, one in zip(path, shared, strict=True) if one and one.h.angle >= 10
    ]
    assert found("p.kl<0.1", path) == [s.step for s in path if s.own and s.own.p.kl < 0.1], "own, as in the JSON"
    assert found("step<=3", path) == [1, 2, 3]


def test_events_and_several_conditions(path: list[StepRecord]) -> None:
    splits = [step.step for step in path if step.split]
    assert found("split", path) == splits != []
    assert found("diverge", path) == [step.step for step in path if step.diverges]
    assert found("kl>0.5 & split", path) == sorted({*splits} & {*found("kl>0.5", path)})
    ended = records(recorded_events(30, accidents=Accidents(pruned_ends=12)))
    assert found("eos", ended) == [12]
    invalid = records(recorded_events(30, accidents=Accidents(invalid=9)))
    assert found("invalid", invalid) == [9]


@pytest.mark.parametrize("follow", list(Follow))
def test_a_text_is_found_where_it_begins_in_either_panel(follow: Follow) -> None:
    path = records(recorded_events(50, follow=follow))
    words = {written_token(step, "dense", follow).text for step in path}
    queries = [word for word in sorted(words) if word.strip()][:6]
    start = "".join(written_token(step, "dense", follow).text for step in path[10:13])
    for query in [*(word.strip() for word in queries), start, start[1:-1], "a", "e "]:
        expected = set()
        for side in ("dense", "pruned"):
            texts = [written_token(step, side, follow).text for step in path]
            flags = re.IGNORECASE if query == query.lower() else 0
            for hit in re.finditer(f"(?={re.escape(query)})", "".join(texts), flags):
                reached = 0
                for step, text in zip(path, texts, strict=True):
                    reached += len(text)
                    if hit.start() < reached:
                        expected.add(step.step)
                        break
        got = found(f'"{query}"', path, follow)
        assert got == sorted(expected) != []
        growing = StepSearch(f'"{query}"')
        for end in range(len(path) + 1):
            growing.steps(path[:end], follow, 0, lambda _: False)
        assert list(growing.steps(path, follow, 0, lambda _: False)) == got, "step by step as at once"


def test_capital_letters_count_only_if_the_query_has_some(path: list[StepRecord]) -> None:
    one = written_token(path[0], "dense", Follow.FREE).text.strip()
    assert one
    assert 1 in found(one.lower(), path)
    assert 1 in found(f'"{one}"', path)
    assert 1 not in found(one.swapcase() if one.swapcase() != one.lower() else one.upper(), path)


def test_the_margin_is_that_of_the_two_choices(path: list[StepRecord]) -> None:
    for step in path:
        compared = step.shared or step.own
        got = margin(step)
        if compared is None or step.dense is None or got is None:
            continue
        ranked = sorted(compared.top, key=lambda row: row.rank_dense)
        a = next(row for row in ranked if row.token_id == step.dense.token_id)
        other = step.pruned if step.split else None
        b = next(row for row in ranked if (row.token_id == other.token_id if other else row.token_id != a.token_id))
        assert got == pytest.approx(math.log(a.p) - math.log(b.p))
    assert found("margin<0.2", path) == [s.step for s in path if (m := margin(s)) is not None and m < 0.2]


def test_the_margin_of_a_token_without_a_chance_is_infinite(path: list[StepRecord]) -> None:
    step = next(step for step in path if step.shared and step.own and not step.split)
    assert step.shared is not None
    assert step.dense is not None
    top = tuple(
        row if row.token_id == step.dense.token_id else msgspec.structs.replace(row, p=0.0) for row in step.shared.top
    )
    table = replace(step.shared, top=top)
    assert margin(replace(step, own=table, shared=table)) == math.inf
    assert margin(replace(step, own=None, shared=None, same_context=False)) is None


def test_n_goes_round_and_says_so(path: list[StepRecord]) -> None:
    search = StepSearch("step>10 & step<=13")
    steps = search.steps(path, Follow.FREE, 0, lambda _: False)
    assert list(steps) == [11, 12, 13]
    assert search.next_from(11, forward=True, here=True) == 11
    assert search.next_from(11, forward=True) == 12
    assert "2 of 3. n next" in usual(search.sentence(12))
    assert search.next_from(13, forward=True) == 11
    assert "1 of 3, from the start again" in search.sentence(11)
    assert search.next_from(11, forward=False) == 13
    assert "3 of 3, from the end again" in search.sentence(13)
    assert "found at 3 steps" in search.sentence(30)
    assert search.next_from(60, forward=False) == 13
    assert "again" not in search.sentence(13)


def test_marked_steps_are_found_by_the_marks(path: list[StepRecord]) -> None:
    assert list(StepSearch("marked").steps(path, Follow.FREE, 0, lambda step: step in (4, 7))) == [4, 7]


def test_short_names_mean_the_shared_context_and_never_two_figures() -> None:
    names = query_names()
    assert names["kl"] == "shared.p.kl"
    assert names["angle"] == "shared.h.angle"
    assert names["survival"] == "sum.survival"
    assert "cos" not in names, "h, z and p have one"
    assert all(names[full] == full for full in figures())


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("kll>0.5", "Did you mean kl?"),
        ("cos<1", "cos"),
        ("kl>>3", "kl>>3 is not a condition"),
        ("split & angle = 5", 'as a text: "angle = 5"'),
        ("margin>", "and then a number"),
        (" ", "nothing"),
        ("word " * 200_000, "1,000,000 characters are too long"),
    ],
)
def test_what_can_t_be_found_is_refused(query: str, says: str) -> None:
    with pytest.raises(BadInput) as refused:
        parse_query(query)
    assert says in f"{refused.value.message} {refused.value.hint}"


def test_what_is_no_condition_is_a_text() -> None:
    for text in ("a > b", "split the bill", '"kl>"', "x=3"):
        assert len(parse_query(text)) == 1
        assert not hasattr(parse_query(text)[0], "sign")


def test_a_long_text_leaves_room_for_what_was_found() -> None:
    said = StepSearch("begins " + "and goes on " * 20 + "ends").sentence(1)
    assert said.startswith("begins and")
    assert "ends: found at no step so far." in said
    assert len(said) < 100
