"""Watched groups as text: what can be written, what it means, and what is refused with a sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probes.schema.errors import BadInput
from probes.schema.settings import RunSettings
from probes.schema.watch import MOST_FORMS, MOST_WATCHED, WATCH_GRAMMAR, WatchedGroup, parse_watch, write_watch


def test_the_example_of_the_grammar_reads_as_it_says() -> None:
    assert parse_watch(WATCH_GRAMMAR) == (
        WatchedGroup("A", ("A", " A")),
        WatchedGroup("B", ("B", " B")),
        WatchedGroup("yes", ("Yes", "\n", 198)),
    )


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", ()),
        ("   ", ()),
        ("New York", (WatchedGroup("New York", ("New York",)),)),
        ('","', (WatchedGroup(",", (",",)),)),
        ('"|","="', (WatchedGroup("|", ("|", "=")),)),
        ('"a\\"b" ', (WatchedGroup('a"b', ('a"b',)),)),
        ('"\\u00e9"', (WatchedGroup("é", ("é",)),)),
        ("#7", (WatchedGroup("#7", (7,)),)),
        ('"#7"', (WatchedGroup("#7", ("#7",)),)),
        ("#", (WatchedGroup("#", ("#",)),)),
        ("a\\nb", (WatchedGroup("a\\nb", ("a\\nb",)),)),
        ("[b]=\x1b[31m", (WatchedGroup("[b]", ("\x1b[31m",)),)),
        ('" half"|"half"', (WatchedGroup(" half", (" half",)), WatchedGroup("half", ("half",)))),
    ],
)
def test_any_token_can_be_named(text: str, groups: tuple[WatchedGroup, ...]) -> None:
    assert parse_watch(text) == groups


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A,,B", "is empty"),
        ("A|", "is empty"),
        ("=A", "is empty"),
        ("a=", "is empty"),
        ("a=b=c", "more than one ="),
        ('"A', "quotation mark"),
        ('A "B"', "no comma between 'A' and 'B'"),
        ('"\\x"', "not a text as JSON"),
        ('""', "is empty"),
        ("A, A", "named twice"),
        ("A|b=A", "The token A is named twice"),
        ("x=A|x=B", "Two groups are called x"),
        ("|".join(f"#{n}" for n in range(MOST_WATCHED + 1)), "too many"),
        (",".join(f"#{n}" for n in range(MOST_FORMS + 1)), "more than"),
    ],
)
def test_what_can_not_be_read_is_refused_in_a_sentence(text: str, said: str) -> None:
    with pytest.raises(BadInput, match=said) as problem:
        parse_watch(text)
    assert problem.value.message.endswith(".")
    assert problem.value.hint


TOKENS = st.integers(0, 10**15 - 1) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6)
GROUPS = st.lists(st.lists(TOKENS, min_size=1, max_size=3), max_size=4)


@given(GROUPS, st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=4), max_size=4))
def test_what_is_written_is_read_as_the_same_groups(forms: list[list[int | str]], names: list[str]) -> None:
    seen: set[int | str] = set()
    groups, labels = [], set()
    for place, tokens in enumerate(forms):
        kept = tuple(dict.fromkeys(token for token in tokens if token not in seen))
        first = kept[0] if kept else ""
        label = names[place] if place < len(names) else f"#{first}" if isinstance(first, int) else first
        if kept and label not in labels:
            groups.append(WatchedGroup(label, kept))
            labels.add(label)
            seen.update(kept)
    assert parse_watch(write_watch(groups)) == tuple(groups)


def test_settings_refuse_groups_that_can_not_be_watched_together() -> None:
    with pytest.raises(BadInput, match="named twice"):
        RunSettings("p", watch=(WatchedGroup("a", (1,)), WatchedGroup("b", (1,))))
    with pytest.raises(BadInput, match="not UTF-8"):
        RunSettings("p", watch=(WatchedGroup("a", ("\ud83d",)),))
