"""Results are kept by setting, the latest settings only."""

from __future__ import annotations

from dataclasses import replace

from explorer.sources.toy.source import _header
from explorer.sources.toy.tasks import TASKS, ToyTasks, toy_item
from explorer.state.setting_results import MOST_SETTINGS, ResultsBook
from probes.schema.events import ItemScored, Judged
from probes.schema.settings import RunSettings

SCORED = ItemScored(*toy_item(TASKS[0], 0, 0.5))


def begun(book: ResultsBook, setting: str) -> None:
    book.begin(_header(RunSettings("go"), setting))


def test_a_setting_finds_its_results_again() -> None:
    book = ResultsBook()
    begun(book, "wanda:0.5")
    book.take(SCORED)
    begun(book, "wanda:0.2")
    assert not book.present.items
    begun(book, "wanda:0.5")
    assert book.present.scored("facts") == [SCORED]


def test_only_the_latest_settings_are_kept() -> None:
    book = ResultsBook()
    for place in range(MOST_SETTINGS + 1):
        begun(book, f"wanda:0.{place + 1}")
        book.take(SCORED)
        begun(book, "wanda:0.1")  # seen each time, so it stays
    assert book.present.items
    begun(book, "wanda:0.2")
    assert not book.present.items, "the oldest one is dropped"
    begun(book, f"wanda:0.{MOST_SETTINGS}")
    assert book.present.items


def test_an_answer_belongs_to_the_setting_it_was_asked_under() -> None:
    book = ResultsBook()
    begun(book, "wanda:0.5")
    book.expect(7)
    begun(book, "wanda:0.2")
    book.take(replace(SCORED, request=7))
    assert not book.present.items
    begun(book, "wanda:0.5")
    assert book.present.items


def test_a_verdict_that_names_another_setting_is_about_that_one() -> None:
    book = ResultsBook()
    begun(book, "wanda:0.2")
    new = _header(RunSettings("go"), "wanda:0.2")
    begun(book, "wanda:0.5")
    book.expect(7)  # asked just after the setting changed, before that was known here
    begun(book, "wanda:0.2")
    verdict = ToyTasks(new.dense.name, new.pruned.name, "wanda:0.2", 0.5)._verdict()
    book.take(Judged(verdict, request=7))
    book.take(replace(SCORED, request=7))
    assert book.asked(7) is book.present
    assert book.present.scored("facts") == [replace(SCORED, request=7)]
