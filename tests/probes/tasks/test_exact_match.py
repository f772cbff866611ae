"""The answer in a generated text, and when two answers are the same."""

from __future__ import annotations

import pytest

from probes.tasks.exact_match import answer_in, is_complete, matches, normalised


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (" Paris", "Paris"),
        ("\n\n Paris\nQuestion: What", "Paris"),
        ("Paris. It is the capital.", "Paris"),
        ("The answer is Paris.", "Paris"),
        ("the correct answer is: 1,000.", "1,000"),
        ("Answer: 3.5 metres!", "3.5 metres"),
        ("St. Petersburg. It lies", "St. Petersburg"),
        ("J. K. Rowling. She", "J. K. Rowling"),
        ("vitamin C. It is", "vitamin C"),
        ("the U.S. Senate", "the U.S. Senate"),
        ("3.14", "3.14"),
        ("?", "?"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_the_answer_is_the_first_sentence_of_the_first_line(text: str, answer: str) -> None:
    assert answer_in(text) == answer


@pytest.mark.parametrize("text", ["Paris\n", "\nParis\n", "Paris. ", "Paris! Yes", "Dr. Who? Yes"])
def test_an_answer_is_complete_once_its_line_or_sentence_has_ended(text: str) -> None:
    assert is_complete(text)
    assert all(answer_in(text + more) == answer_in(text) for more in ("x", " and", "5", "\n"))


@pytest.mark.parametrize("text", ["", "\n", "Paris", "Paris.", "3.", "St. ", "J. K.", "\n the answer is"])
def test_an_answer_is_not_complete_while_more_text_could_change_it(text: str) -> None:
    assert not is_complete(text)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The Eiffel Tower", "eiffel tower."),
        ("1,000", "1000"),
        ("12,345,678.50", "12345678.5"),
        ("$3.0", "3"),
        ("007", "7"),
        ("−5 °C", "-5 c"),
        ("ﬁre", "FIRE"),
        ("Straße", "STRASSE"),
        ("don’t", "dont"),
        ("well-known", "well known"),
        ("１２", "12"),
        ("٣٫٥ كم", "3 5 كم"),
        ("-0.50", "-0.5"),
        ("a", "A."),
    ],
)
def test_answers_that_are_the_same(one: str, other: str) -> None:
    assert normalised(one) == normalised(other) != ""
    assert matches(one, ["something else", other])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3.5", "35"),
        ("-5", "5"),
        ("100", "1"),
        ("1,2", "12"),
        ("Paris, Texas", "Paris"),
        ("कि", "की"),
        ("red herring", "red"),
    ],
)
def test_answers_that_differ(one: str, other: str) -> None:
    assert not matches(one, [other])


def test_a_number_is_written_without_an_exponent() -> None:
    assert normalised("1000000") == "1000000"
    assert normalised("0.000001") == "0.000001"
    assert normalised("1" + "0" * 5000) == "1" + "0" * 5000
