"""Takes the answer out of a generated text, and compares it with the answers that count as right.

The rules are in docs/figures.md. They know nothing of models or tokens.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

_LINE_END = re.compile("[\n\r\u2028\u2029]")
_SENTENCE_END = re.compile(r"[.!?](?=\s|$)")
_LEAD_IN = re.compile(r"(?:the\s+)?(?:(?:final|correct|right)\s+)?answer\s*(?:is\b|:)\s*:?\s*", re.IGNORECASE)
_SHORTENED = frozenset({"dr", "jr", "mr", "mrs", "ms", "mt", "prof", "sr", "st", "vs"})
"""Words that are written with a period."""
_INITIAL = re.compile(r"(?:^|\.\s*)[^\W\d_]$")
"""A single letter at the beginning or after a period: "J. K", "U.S"."""
_THOUSANDS = re.compile(r"(?<![\d,.])\d{1,3}(?:,\d{3})+(?![\d,])")
_NUMBER = re.compile(r"(-?)(\d+)(?:\.(\d+))?")
_ARTICLES = frozenset({"a", "an", "the"})
_APOSTROPHES = "'’"
_MINUS = "-−"


def answer_in(text: str) -> str:
    """The answer in a generated text: its first line that is not blank, up to the end of its first sentence, without
    "The answer is"."""
    line = next((line.strip() for line in _LINE_END.split(text) if line.strip()), "")
    lead_in = _LEAD_IN.match(line)
    line = line[lead_in.end() :] if lead_in else line
    end = next(_sentence_ends(line), None)
    return (line if end is None else line[:end]).strip()


def is_complete(text: str) -> bool:
    """True if more text would not change the answer: its line or its sentence has ended."""
    line, *more = _LINE_END.split(text.lstrip())
    return bool(more) or any(end + 1 < len(line) for end in _sentence_ends(line))


def matches(answer: str, targets: Iterable[str]) -> bool:
    """Is the answer one of the targets, after `normalised`?"""
    return normalised(answer) in {normalised(target) for target in targets}


def normalised(text: str) -> str:
    """The words that answers are compared by, joined by single spaces.

    Compatible characters become one (NFKC), letters small, articles and punctuation go, and a number is written without
    thousands separators and without zeros at its ends.
    """
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _THOUSANDS.sub(lambda number: number[0].replace(",", ""), text)
    words = "".join(_without_punctuation(text)).split()
    kept = [word for word in words if word not in _ARTICLES] or words
    return " ".join(_NUMBER.sub(_plain, word) if _NUMBER.fullmatch(word) else word for word in kept)


def _sentence_ends(line: str) -> Iterator[int]:
    """Where sentences end. The period of an abbreviation or an initial ends none, unless the line ends there."""
    for found in _SENTENCE_END.finditer(line):
        before = line[: found.start()]
        word = before.rpartition(" ")[2].casefold()
        inside = found.end() < len(line)
        if before and not (found[0] == "." and inside and (word in _SHORTENED or _INITIAL.search(before))):
            yield found.start()


def _without_punctuation(text: str) -> Iterator[str]:
    """Letters, marks and digits, spaces in place of other characters, but for a number's sign and decimal point."""
    for place, character in enumerate(text):
        before, after = text[max(0, place - 1) : place], text[place + 1 : place + 2]
        if character.isdecimal():
            yield str(unicodedata.decimal(character))
        elif unicodedata.category(character)[0] in "LMN":
            yield character
        elif character in _APOSTROPHES:
            continue
        elif character == "." and before.isdecimal() and after.isdecimal():
            yield character
        elif character in _MINUS and after.isdecimal() and not before.strip():
            yield "-"
        else:
            yield " "


def _plain(number: re.Match[str]) -> str:
    sign, whole, part = number.groups("")
    whole, part = whole.lstrip("0") or "0", part.rstrip("0")
    return f"{sign}{whole}.{part}" if part else f"{sign}{whole}"
