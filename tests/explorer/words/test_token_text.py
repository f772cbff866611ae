"""Tokens are data: whatever a model writes, a line stays a line and its width is known."""

from __future__ import annotations

import re
import unicodedata
from itertools import zip_longest

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from explorer.words.token_text import fit, fit_end, fit_middle, fit_quoted, flowing, quoted, wrapped


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" half", " half"),
        ("\x1b[31m", "␛[31m"),
        ("a\nb", "a↵b"),
        ("\t", "⇥"),
        ("\x7f", "␡"),
        ("\x9b", "⟨009B⟩"),
        ("\u202eabc", "⟨202E⟩abc"),
        ("\u200b", "⟨200B⟩"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("❤\ufe0f", "❤"),
        ("\ufe0f", "⟨FE0F⟩"),
        ("\ud800", "⟨D800⟩"),
        ("\u2028", "⟨2028⟩"),
        ("\u00a0", " "),
        ("字", "字"),
        ("[bold]", "[bold]"),
        ("\ufffd", "\ufffd"),
    ],
)
def test_what_could_act_or_hide_is_shown_as_a_mark(text: str, shown: str) -> None:
    assert flowing(text) == shown


@given(st.text())
def test_nothing_that_acts_on_a_terminal_is_left(text: str) -> None:
    kinds = {unicodedata.category(character) for character in flowing(text)}
    assert not kinds & {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


@given(st.text(min_size=1))
def test_no_token_is_invisible(text: str) -> None:
    assert cell_len(flowing(text)) > 0


@given(st.text(), st.integers(1, 20))
def test_fitted_text_takes_exactly_its_cells(text: str, width: int) -> None:
    assert cell_len(fit(flowing(text), width)) == width
    assert cell_len(fit_quoted(text, width)) == width


def test_a_cut_never_halves_a_wide_character() -> None:
    assert fit("字字字", 4) == "字… "


def test_quotes_show_the_spaces_of_a_token() -> None:
    assert quoted(" half") == '" half"'
    assert fit_quoted(" incomprehensible", 9) == '" incom…"'


@given(st.text(), st.integers(2, 40))
def test_wrapped_lines_fit_and_lose_nothing_but_spaces(text: str, width: int) -> None:
    shown = flowing(text)
    lines = wrapped(shown, width)
    assert all(cell_len(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(shown.split())


@given(st.lists(st.text("ab.−×", min_size=1, max_size=9)), st.lists(st.sampled_from([" ", "  "])), st.integers(2, 30))
def test_words_are_wrapped_as_rich_wraps_them(words: list[str], gaps: list[str], width: int) -> None:
    sentence = "".join(word + gap for word, gap in zip_longest(words, gaps, fillvalue=" "))
    lines = (line.plain.strip() for line in Text(sentence).wrap(Console(), width))
    assert wrapped(sentence, width) == [line for line in lines if line]


def test_a_token_in_a_sentence_is_not_taken_apart_at_its_spaces() -> None:
    sentence = f"The texts diverge here: {quoted('  ')} against {quoted(' sold')}."
    for width in range(12, 80):
        told = "\n".join(wrapped(sentence, width))
        assert '"  "' in told
        assert '" sold"' in told
    assert wrapped(f"both find {quoted('字字字字')} most", 20) == ['both find "字字字字"', "most"]
    assert wrapped("", 20) == []


def test_a_number_stays_with_its_unit() -> None:
    sentence = "On step 12 they differ (KL 1.89 nat), 101 % of it; chance 1 in 17,000 after 65 steps."
    for width in range(14, 90):
        told = "\n".join(wrapped(sentence, width))
        assert all(one in told for one in ("step 12", "KL 1.89 nat)", "101 %", "1 in 17,000", "65 steps")), width


@pytest.mark.parametrize("width", range(6, 60))
def test_a_long_setting_breaks_between_its_parts(width: int) -> None:
    setting = "wanda:0.5@layers=18,20,22,24+drop-attn@layers=3,4"
    lines = wrapped(f"Pruned with {setting} here.", width)
    assert " ".join(lines).replace(" ", "") == f"Pruned with {setting} here.".replace(" ", "")
    words = {part for line in lines for part in re.split("[ ,:=+@]", line)}
    assert words >= {"wanda", "0.5", "18", "20", "22", "24", "3", "4"}
    if width >= len("+drop-attn"):
        assert words >= {"drop-attn", "layers"}


@pytest.mark.parametrize("width", range(9))
@pytest.mark.parametrize(
    "text", ["", "abc", "the end of it", "字字字字字", "a\u0301b\u0301c\u0301d\u0301e\u0301f\u0301"]
)
def test_the_end_of_a_text_takes_exactly_its_cells(text: str, width: int) -> None:
    shown = fit_end(text, width)
    assert cell_len(shown) == width
    if cell_len(text) > width > 0:
        assert shown.startswith("…")
        assert text.endswith(shown.strip("… "))


def test_a_text_is_cut_in_its_middle() -> None:
    one, other = "wanda:0.5+dense@attn@layers=3,4", "wanda:0.5+dense@attn@layers=3,5"
    cut = fit_middle(one, 20)
    assert cell_len(cut) == 20
    assert cut.startswith("wanda:0.5")
    assert cut.endswith("=3,4")
    assert cut != fit_middle(other, 20)
