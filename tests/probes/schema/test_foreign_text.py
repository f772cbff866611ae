"""Text of others is shown so that it can neither act nor hide, and ordinary text is left alone."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.schema.foreign_text import mark, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGk=\x07", "␛]52;c;aGk=␇"),
        ("\x1b[2J", "␛[2J"),
        ("a\x00b", "a␀b"),
        ("two\nlines\r\n", "two↵lines␍↵"),
        ("\x7f\x9b31m\x85", "␡⟨009B⟩31m⟨0085⟩"),
        ("\u202egnp.exe\u2066", "⟨202E⟩gnp.exe⟨2066⟩"),
        ("a\u200bb\u2060\ufeff", "a⟨200B⟩b⟨2060⟩⟨FEFF⟩"),
        ("soft\xadhyphen", "soft⟨00AD⟩hyphen"),
        ("\ud800", "⟨D800⟩"),
        ("\ue000\U000f0000", "⟨E000⟩⟨F0000⟩"),
        ("\u0378\uffff", "⟨0378⟩⟨FFFF⟩"),
        ("\u2028\u2029", "⟨2028⟩⟨2029⟩"),
        ("\u3164\u115f\u2800\u034f", "⟨3164⟩⟨115F⟩⟨2800⟩⟨034F⟩"),
        ("a\U000e0041\U000e0042", "a⟨E0041⟩⟨E0042⟩"),
        ("a\ufe00\ufe01\ufe02", "a\ufe00⟨FE01⟩⟨FE02⟩"),
        ("a\u200db", "a⟨200D⟩b"),
        ("a\u00a0b\u3000c", "a b c"),
    ],
)
def test_what_acts_or_hides_is_shown_as_a_mark(text: str, shown: str) -> None:
    assert visible(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "plain [bold] text",
        "naïve é e\u0301",
        "한국어 日本語",
        "葛\U000e0100",
        "❤\ufe0f 👍🏽 🇫🇷",
        "👩\u200d🚀 🏳\ufe0f\u200d🌈",
        "\ufffd",
        "",
    ],
)
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert visible(text) == text


@given(st.text(st.characters()))
def test_nothing_that_acts_is_left(text: str) -> None:
    shown = visible(text)
    assert not {unicodedata.category(c) for c in shown if c != "\u200d"} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert visible(shown) == shown


@given(st.text(st.characters()), st.integers(1, 30))
def test_a_cut_keeps_its_length_and_halves_no_mark(text: str, limit: int) -> None:
    whole, shown = visible(text), visible(text, limit)
    assert len(shown) <= limit
    assert shown == whole or (shown[-1] == "…" and whole.startswith(shown[:-1]))
    assert len(whole) > limit or shown == whole
    assert shown.count("⟨") == shown.count("⟩") or "⟨" in text or "⟩" in text


def test_a_text_of_megabytes_is_cut_before_it_is_looked_at() -> None:
    assert visible("\x1b" * 10**7, 5) == "␛␛␛␛…"
    assert visible("a" * 10**7, 5) == "aaaa…"
    assert visible("日本語", 3) == "日本語"
    assert visible("\u202e" * 3, 3) == "…"


def test_one_character_alone_is_shown_by_its_mark() -> None:
    assert [mark(c) for c in ("a", "\x1b", "\ufe0f", "\xa0")] == ["a", "␛", "⟨FE0F⟩", " "]
