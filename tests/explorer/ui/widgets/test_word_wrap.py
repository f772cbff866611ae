"""The layout of tokens in lines."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from explorer.ui.widgets.word_wrap import WordWrap


def laid_out(width: int, *tokens: str) -> list[str]:
    flow = WordWrap(width)
    for step, token in enumerate(tokens, start=1):
        flow.add(step, token)
    return ["".join(word.text for word in line) for line in flow.lines]


def test_a_line_breaks_between_words() -> None:
    assert laid_out(12, "Natalia", " sold", " half") == ["Natalia sold", "half"]


def test_a_word_of_several_tokens_moves_to_the_next_line_as_one() -> None:
    assert laid_out(12, "Natalia", " alto", "gether") == ["Natalia", "altogether"]


def test_a_word_longer_than_a_line_is_cut() -> None:
    assert laid_out(4, "abcdefghij") == ["abcd", "efgh", "ij"]


def test_a_word_is_cut_between_characters_however_many_of_them_take_no_cell() -> None:
    accented = "e" + "\u0301" * 200
    assert laid_out(2, accented * 5) == [accented * 2, accented * 2, accented]


def test_a_line_break_shows_its_mark_and_breaks_the_line() -> None:
    assert laid_out(20, "one", ".\n\n", "two") == ["one.↵↵", "two"]


def test_wide_characters_are_measured_in_cells() -> None:
    assert laid_out(5, "字字", "字") == ["字字", "字"]


def test_a_half_character_takes_no_room_until_it_is_whole() -> None:
    assert laid_out(20, "a", "", "🌍") == ["a🌍"]


def test_it_is_known_on_which_line_a_step_begins() -> None:
    flow = WordWrap(12)
    for step, token in enumerate(("Natalia", " alto", "gether"), start=1):
        flow.add(step, token)
    assert [flow.line_of(step) for step in (1, 2, 3)] == [0, 1, 1]


@given(st.lists(st.text(max_size=12), max_size=40), st.integers(2, 30))
def test_no_line_is_wider_than_the_flow_and_no_character_is_lost(tokens: list[str], width: int) -> None:
    flow = WordWrap(width)
    for step, token in enumerate(tokens, start=1):
        flow.add(step, token)
    for line in flow.lines:
        assert sum(word.width for word in line) <= width
        assert all(word.width == cell_len(word.text) for word in line)
    written = "".join(word.text for line in flow.lines for word in line)
    alone = WordWrap(10_000)
    for step, token in enumerate(tokens, start=1):
        alone.add(step, token)
    whole = "".join(word.text for line in alone.lines for word in line)
    assert written.replace(" ", "") == whole.replace(" ", "")
