"""Ranges in the grammar of prune settings: `wanda:{0.1..0.7/0.1}`, `drop-attn:{1..8}`, `magnitude:{0.3,0.5,2:4}`.

Braces hold a range (start..end/step, both ends included; the step of whole numbers may be left out) or a list. Several
give every combination, the last one changing fastest. A file name with braces is quoted. Free of torch.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from itertools import groupby, product

from probes.schema.prune_methods import Count, FittedShare, Method, Owl, Pattern, Ratio, Table
from probes.schema.prune_setting import BadSetting, Setting, SettingPart, parse
from probes.schema.sweep import SweptSetting

RANGE_EXAMPLES = "wanda:{0.1..0.7/0.1}, drop-attn:{1..8}, magnitude:{0.3,0.5,2:4}"
MOST_SETTINGS = 5_000
"""More settings than this are refused: a step was probably written wrong."""
HOLE = "{}"
"""Stands for the swept amount in the name of a family."""
_HINT = f"Write a range as start..end/step, or a list: {RANGE_EXAMPLES}."
_PIECE = re.compile(r'"(?:[^"]|"")*"|\{[^{}"]*\}|.', re.DOTALL)
_NUMBER = re.compile(r"\d{1,9}(?:\.\d{1,12})?")
_NEXT = re.compile(rf"(?:{'|'.join(sorted(Method, key=len, reverse=True))})\s*[:@]", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class _Braces:
    """One pair of braces, and its values as they are written in their place."""

    values: tuple[str, ...]


def swept_settings(text: str) -> tuple[SweptSetting, ...]:
    """The settings that a text with ranges means, in its order; several may be joined by commas.

    Raises `BadSetting`, which points to the offending part, for a range that can't be read, that is empty, or that
    gives more than `MOST_SETTINGS` settings.
    """
    found = [one for start, piece in _alternatives(text) for one in _expanded(text, start, piece)]
    if len(found) > MOST_SETTINGS:
        raise _too_many(text, 0, len(text), len(found))
    return tuple(found)


def written_settings(settings: Iterable[SweptSetting]) -> tuple[str, ...]:
    """Texts that `swept_settings` reads as these settings; neighbours of one family are one text."""
    texts: list[str] = []
    for _, group in groupby(settings, key=lambda one: one.family):
        members = list(group)
        together = _joined(members)
        texts += [together] if together else [_joined([one]) or str(one.setting) for one in members]
    return tuple(texts)


def _joined(members: Sequence[SweptSetting]) -> str:
    """One text for settings of one family; "" if there is none that is read as they are."""
    before, hole, after = members[0].family.partition(HOLE)
    texts = [str(one.setting) for one in members]
    if not hole or not all(one.startswith(before) and one.endswith(after) for one in texts):
        return ""
    amounts = [one[len(before) : len(one) - len(after)] for one in texts]
    text = f"{before}{{{','.join(amounts)}}}{after}"
    try:
        return text if swept_settings(text) == tuple(members) else ""
    except BadSetting:
        return ""


def _alternatives(text: str) -> list[tuple[int, str]]:
    """The settings between commas, each with its place. A comma between targets (`@layers=20,22`) joins: a setting
    begins with a method."""
    found, begun = [], 0
    for piece in _PIECE.finditer(text):
        rest = text[piece.end() :]
        if piece[0] == "," and _NEXT.match(rest.lstrip()):
            found.append((begun, text[begun : piece.start()]))
            begun = piece.end()
    return [*found, (begun, text[begun:])]


def _expanded(text: str, start: int, piece: str) -> list[SweptSetting]:
    pieces: list[str | _Braces] = []
    count = 1
    for found in _PIECE.finditer(piece):
        at = start + found.start()
        if found[0].startswith("{") and len(found[0]) > 1:
            braces = _Braces(_values(text, at, found[0]))
            count *= len(braces.values)
            if count > MOST_SETTINGS:
                raise _too_many(text, at, start + found.end(), count)
            pieces.append(braces)
        elif found[0] in "{}":
            raise BadSetting(text, at, at + 1, "This brace has no other one.", _HINT)
        else:
            pieces.append(found[0])
    choices = [one.values if isinstance(one, _Braces) else (one,) for one in pieces]
    last = max((place for place, one in enumerate(pieces) if isinstance(one, _Braces)), default=None)
    if last is None:
        return [swept(parse(piece))]
    return [_of(words, last) for words in product(*choices)]


def _values(text: str, at: int, braces: str) -> tuple[str, ...]:
    inner = braces[1:-1]
    end = at + len(braces)
    if ".." not in inner:
        values = tuple(value.strip() for value in inner.split(","))
        if not all(values):
            raise BadSetting(text, at, end, "A value is missing in these braces.", _HINT)
        return values
    first, _, rest = inner.partition("..")
    last, slash, step = rest.partition("/")
    numbers = [_number(text, at, end, one.strip()) for one in (first, last, *([step] if slash else []))]
    low, high = numbers[:2]
    if slash:
        width = numbers[2]
    elif low == low.to_integral_value() and high == high.to_integral_value():
        width = Decimal(1)
    else:
        raise BadSetting(text, at, end, "The step is missing: the ends are no whole numbers.", _HINT)
    if width == 0:
        raise BadSetting(text, at, end, "A step of 0 never reaches the end.", _HINT)
    if high < low:
        raise BadSetting(text, at, end, f"The end {last.strip()} is below the start {first.strip()}.", _HINT)
    count = int((high - low) / width) + 1
    if count > MOST_SETTINGS:
        raise _too_many(text, at, end, count)
    if low + (count - 1) * width != high:
        reached = f"Steps of {step.strip()} from {first.strip()} do not reach {last.strip()}"
        raise BadSetting(text, at, end, f"{reached}: the last one is {_plain(low + (count - 1) * width)}.", _HINT)
    return tuple(_plain(low + place * width) for place in range(count))


def _number(text: str, at: int, end: int, word: str) -> Decimal:
    try:
        if _NUMBER.fullmatch(word):
            return Decimal(word)
    except InvalidOperation:
        pass
    raise BadSetting(text, at, end, f"{word!r} is not a number." if word else "A number is missing here.", _HINT)


def _plain(number: Decimal) -> str:
    return f"{number.normalize():f}"


def _too_many(text: str, start: int, end: int, count: int) -> BadSetting:
    reason = f"These are {count:,} settings; a sweep has at most {MOST_SETTINGS:,}."
    return BadSetting(text, start, end, reason, "Use larger steps or fewer ranges.")


# Families -----------------------------------------------------------------------------------------------------


def swept(setting: Setting) -> SweptSetting:
    """The place of a setting on a curve if nothing says which amount is swept: its last one."""
    for place in reversed(range(len(setting.parts))):
        if (hole := _hole(setting.parts[place])) is not None:
            return _on_curve(setting, place, *hole)
    return SweptSetting(setting, str(setting), None)


def _of(words: Sequence[str], last: int) -> SweptSetting:
    """The setting of these words, whose place on a curve is the word at `last`, if that is a number."""
    setting = parse("".join(words))
    before = "".join(words[:last])
    place = sum(1 for word in _PIECE.findall(before) if word == "+")
    piece = before.rpartition("+")[2]
    hole = _hole(setting.parts[place])
    if "@" not in piece.replace("@file=", "") and hole is not None:
        return _on_curve(setting, place, *hole)
    word = words[last]
    if not _NUMBER.fullmatch(word):
        return swept(setting)
    parts = [str(part) for part in setting.parts]
    after = "".join(words[last + 1 :]).partition("+")[0]
    parts[place] = f"{piece.strip()}{HOLE}{after.rstrip()}"
    return SweptSetting(setting, "+".join(parts), float(word))


def _hole(part: SettingPart) -> tuple[str, float] | None:
    """The part with a hole in the place of its amount, and the amount as a number; None if it has none."""
    amount = part.amount
    match amount:
        case Ratio(value) | Count(value):
            text, number = HOLE, float(value)
        case Pattern(keep, group):
            text, number = HOLE, 1 - keep / group
        case Owl(ratio):
            text, number = f"owl={HOLE}", ratio
        case FittedShare(value, _):
            text, number = str(amount).replace(f"{value:g}", HOLE, 1), value
        case Table() | None:
            return None
    return f"{part.method}:{text}{part.targets}", number


def _on_curve(setting: Setting, place: int, text: str, amount: float) -> SweptSetting:
    parts = [str(part) for part in setting.parts]
    parts[place] = text
    return SweptSetting(setting, "+".join(parts), amount)
