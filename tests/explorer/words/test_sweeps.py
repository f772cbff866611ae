"""Sentences on a sweep."""

from __future__ import annotations

from explorer.sources.kept_sweep import read_event
from explorer.words.sweeps import (
    cliff_sentence,
    knee_text,
    knees_sentence,
    progress_text,
    removed_sentence,
    work_sentence,
)
from probes.schema.sweep import Curve, Removed
from tests.support.formula_sweep import DROPS, WANDA, result_of, some_sweep


def curves_of(settings: tuple[tuple[str, str, float], ...], *tasks: str, done: int | None = None) -> list[Curve]:
    return list(read_event(some_sweep(settings, tasks, done=done), frozenset()).curves)


def test_knees_are_named_with_those_that_hold_longest_first() -> None:
    curves = curves_of(WANDA, "answers", "moods", "facts", "passages")
    assert knees_sentence(curves) == ("wanda:…  Safe up to 0.4 for facts, 0.3 for moods and passages, 0.2 for answers.")
    assert cliff_sentence(curves) == "First to give out: answers; up to 0.3 everything else is still safe."
    assert [knee_text(curve) for curve in curves] == [f"safe up to {amount}" for amount in (0.2, 0.3, 0.4, 0.3)]


def test_a_knee_may_be_beyond_what_was_swept_or_before_it() -> None:
    curves = curves_of(WANDA[:3], "facts", "answers")
    assert "0.3 or more for facts" in knees_sentence(curves)
    assert knee_text(curves[0]) == "safe up to 0.3, or more"
    late = curves_of(WANDA[4:], "facts", "answers")
    assert knees_sentence(late) == "wanda:…  Broken at 0.5 already: facts and answers."
    assert knee_text(late[0]) == "broken at 0.5 already"
    assert cliff_sentence(late) == ""


def test_what_is_not_decided_is_said() -> None:
    curves = curves_of(WANDA[2:4], "answers")
    assert knees_sentence(curves) == "wanda:…  Not decided: answers (borderline)."
    assert knee_text(curves[0]) == "borderline at 0.3"
    waiting = curves_of(WANDA[:2], "facts", "moods", done=1)
    assert "safe up to 0.1" in knee_text(waiting[0]), "what comes after it is not computed yet"
    assert "not computed yet" in knee_text(waiting[1])


def test_the_cliff_is_claimed_only_if_generation_is_first() -> None:
    assert cliff_sentence(curves_of(DROPS, "passages", "answers")) == "", "both give out at once"
    assert cliff_sentence(curves_of(WANDA, "answers")) == ""
    assert cliff_sentence(curves_of(WANDA, "facts")) == ""


def test_prompts_have_no_knee() -> None:
    curves = curves_of(WANDA, "prompt 1")
    assert knees_sentence(curves) == ""
    assert knee_text(curves[0]) == ""


def test_progress_says_what_there_is() -> None:
    assert progress_text(40, 1, 2, 60) == "41 of 60 cells, 2 running, 1 failed"
    assert progress_text(60, 0, 0, 60) == "60 cells"
    assert progress_text(10, 0, 1, 60, 125.0) == "10 of 60 cells, 1 running, 2 min left"


def test_what_a_setting_removed_and_what_it_took() -> None:
    assert removed_sentence(Removed(300, 100, ("attn 2", "mlp 3"), 1000)) == (
        "40.0 % of the parameters removed: 300 zeros; attn 2, mlp 3 dropped"
    )
    assert removed_sentence(Removed(0, 0, (), 1000)) == "0.0 % of the parameters removed"
    cell = some_sweep(WANDA[:1], ("facts",)).header.cells[0]
    assert work_sentence(result_of(cell)) == "13 s, after 3 s of pruning; peak 1.3 GB"
