"""What `phier verdict` and `phier tasks` print."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.cells import cell_len
from rich.console import Console

from explorer.cli.tasks_table import print_tasks
from explorer.cli.verdict_table import loss_bar, print_verdict, verdict_object
from explorer.words.verdicts import row_sentence
from probes.schema.as_json import json_to_print
from probes.schema.flat_step import to_jsonable
from probes.tasks.judge import judge
from tests.support.task_results import found
from tests.support.verdicts import SETS, some_results, some_verdict


def printed(verdict, width=120, **console):
    out = io.StringIO()
    print_verdict(verdict, Console(file=out, width=width, **console))
    return out.getvalue()


def tasks(verdict, results=(), width=120):
    out = io.StringIO()
    print_tasks(verdict, SETS, results, Console(file=out, width=width))
    return out.getvalue()


def line(text, begin):
    return next(row for row in text.splitlines() if row.startswith(begin))


@pytest.mark.parametrize("width", [80, 120, 160])
def test_fits(width):
    for text in (printed(some_verdict(), width), tasks(some_verdict(), some_results().results, width)):
        assert max(map(cell_len, text.splitlines())) <= width


def test_the_row_has_scores_intervals_and_p():
    row = line(printed(some_verdict()), "moods")
    assert "60" in row
    assert "90 (80–95) 63 (51–74)   −27 (" in row
    assert row.rstrip().endswith("broken")


@pytest.mark.parametrize("width", [80, 120])
def test_each_row_has_its_sentence(width):
    verdict = some_verdict()
    text = " ".join(printed(verdict, width).split())
    for row in verdict.rows:
        assert " ".join(row_sentence(row, 0.02, 0.95).split()) in text
    assert "The claim that options, classification and retrieval survive" in text


def test_bars_are_on_one_scale():
    text = printed(some_verdict())
    assert "a full bar is 0.60" in text
    assert any("█" * 20 in row for row in text.splitlines() if row.startswith("answers"))
    assert "among the options: p 0.10, KL 0.12" in text


def test_a_bar_shows_the_smallest_part():
    assert [loss_bar(one, 4) for one in (0.0, 1e-9, 0.5, 1.0, 2.0)] == ["    ", "▏   ", "██  ", "████", "████"]


def test_colour_says_nothing_that_words_do_not():
    coloured = printed(some_verdict(), force_terminal=True, color_system="truecolor", no_color=False)
    plain = printed(some_verdict(), force_terminal=True, color_system="truecolor", no_color=True)
    assert "\x1b[1;38" in coloured
    assert "38;" not in plain
    assert "too few items" in plain


def test_unfinished_tasks_are_shown_as_such():
    verdict = judge(found(some_results().results[:30]), SETS)
    text = printed(verdict)
    assert "30 of 240 items so far" in text
    assert "30/80" in line(text, "facts")
    assert "Not scored yet." in text
    assert "0/60" in line(text, "answers")
    assert "30 of 80 items so far" in tasks(verdict)


def test_without_any_task():
    assert "Margin 2 points" in printed(judge(found(), []))


def test_a_name_acts_on_no_terminal():
    verdict = some_verdict()
    odd = replace(verdict, rows=(replace(verdict.rows[0], task="\x1b[31mred\n"),), setting="\x1b]0;x\x07")
    assert "\x1b" not in printed(odd)


def test_json_has_everything_and_the_sentences():
    made = json.loads(json_to_print(to_jsonable(verdict_object(some_verdict(), notes=["a"]))))
    assert made["claim"].startswith("The claim")
    assert made["final"] is True
    assert [row["task"] for row in made["rows"]] == ["facts", "moods", "passages", "answers"]
    assert made["rows"][1]["sentence"].startswith("Broken: it loses 27 points")
    assert set(made["rows"][0]["difference"]) == {"value", "low", "high"}
    assert made["rows"][0]["spaces"]["kl"] == pytest.approx(0.4)


def test_tasks_show_their_figures():
    text = tasks(some_verdict())
    assert "facts · options · by letter · 80 items" in text
    assert "recall@5" in line(text, "recall@5")
    assert line(text, "accuracy: tone").split()[-1] == "30"
    assert "not reached" in line(text, "half-life (median)")
    assert "4 tokens" in line(text, "first split (median)")
    assert "facts-3" not in text


def test_items_are_listed_if_asked_for():
    results = some_results().results
    text = tasks(some_verdict(), results)
    assert all(one.item in text for one in results)
    assert "1 → 2" in line(text, "passages-39")
    assert "✓ right" in line(text, "facts-0")
    assert "✗ wrong" in line(text, "facts-70")
    assert line(text, "answers-0").split()[-3] == "4"


def test_answers_act_on_no_terminal():
    results = [replace(one, dense=replace(one.dense, choice="\x1b[31m\nx")) for one in some_results().results[:1]]
    assert "\x1b" not in tasks(some_verdict(), results)
