"""Makes items of rows: finds the columns that hold a question, its options, its answer and so on. Free of torch.

docs/items.md lists the columns.
"""

from __future__ import annotations

from collections.abc import Collection as Names
from collections.abc import Mapping, Sequence
from string import ascii_uppercase

from probes.schema.foreign_text import visible
from probes.schema.items import Question, ShortAnswer, TaskKind
from probes.tasks.item_rows import BadRow, Row

_QUESTION = ("question", "ctx")
_CHOICES = ("choices", "options", "endings")
_ANSWER = ("answer", "answerKey", "label", "gold")
_TEXT = ("text", "sentence")
LABEL_COLUMNS = ("label", "answer")
_PROMPT = ("prompt", "question")
_TARGET = ("target", "targets", "completion", "answer", "answers")
QUERY_COLUMNS = ("query",)
POSITIVE_COLUMNS = ("positive", "positives")
DOCUMENT_COLUMNS = ("document",)
DOCUMENTS_COLUMNS = ("documents",)
NEGATIVES_COLUMNS = ("negatives", "negative")
_GROUP = ("group", "subject")
_SHOWN = 60

Cells = Mapping[str, object]


def kind_of(names: Names[str]) -> TaskKind | None:
    """The kind of the items whose rows have these columns; None if they are of no kind."""

    def has(*columns: str) -> bool:
        return any(name in names for name in columns)

    if has(*DOCUMENT_COLUMNS) or (has(*QUERY_COLUMNS) and has(*POSITIVE_COLUMNS)):
        return TaskKind.RETRIEVAL
    if has(*_QUESTION) and (has(*_CHOICES) or (has("A") and has("B"))):
        return TaskKind.OPTIONS
    if has(*_TEXT) and has(*LABEL_COLUMNS):
        return TaskKind.CLASSIFICATION
    if has(*_PROMPT) and has(*_TARGET):
        return TaskKind.GENERATION
    return None


def row_id(row: Row) -> str:
    """The id in the row, or the number of its line."""
    found = row.cells.get("id")
    return str(found) if isinstance(found, str | int) and str(found).strip() else str(row.line)


def question_of(row: Row) -> Question:
    """A question with its options. Raises `BadRow` if one of them, or the answer, is missing or can't be used."""
    cells = row.cells
    text = text_in(cells, _QUESTION, "question")
    options, names = _options(cells)
    if len(options) < 2:
        raise BadRow("it has fewer than two options")
    _check_options(options)
    return Question(row_id(row), text, options, _answer(cells, options, names), group_of(cells))


def labelled(row: Row, labels: Mapping[str, Sequence[str]]) -> Question:
    """A text with its label, a word out of the label set of its group or a number that counts it.

    Raises `BadRow` if the text or the label is missing, or if the label is not in the set.
    """
    cells, group = row.cells, group_of(row.cells)
    text, names = text_in(cells, _TEXT, "text"), tuple(labels.get(group) or labels.get("", ()))
    label = label_in(cells)
    if label in names:
        return Question(row_id(row), text, names, names.index(label), group)
    number = int(label) if label.isascii() and label.isdigit() else None
    if number is None:
        raise BadRow(f"its label {quoted(label)} is not one of the labels")
    if not names:
        raise BadRow("its label is a number, and the labels have no names")
    if number >= len(names):
        raise BadRow(f"its label {number} is above {len(names) - 1}, the last label's number")
    return Question(row_id(row), text, names, number, group)


def label_in(cells: Cells) -> str:
    """The label of a text, as text. Raises `BadRow` if there is none."""
    found = cells.get(_column(cells, LABEL_COLUMNS) or "")
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
        raise BadRow("it has no label")
    return str(found).strip()


def short_answer(row: Row) -> ShortAnswer:
    """A prompt with the answers that count as right. Raises `BadRow` if there is no prompt or no answer."""
    prompt = text_in(row.cells, _PROMPT, "prompt")
    found = row.cells.get(_column(row.cells, _TARGET) or "")
    targets = tuple(str(one).strip() for one in _several(found) if isinstance(one, str | int | float))
    if not targets or not all(targets):
        raise BadRow("it has no answer")
    return ShortAnswer(row_id(row), prompt, targets)


def text_in(cells: Cells, columns: Sequence[str], what: str) -> str:
    """The text in the first of these columns that the row has. Raises `BadRow` if it has none."""
    found = cells.get(_column(cells, columns) or "")
    if not isinstance(found, str) or not found.strip():
        raise BadRow(f"it has no {what}")
    return found


def texts_in(cells: Cells, columns: Sequence[str]) -> tuple[str, ...]:
    """The texts in the first of these columns that the row has: a list, or one text."""
    return tuple(str(one) for one in _several(cells.get(_column(cells, columns) or "")) if str(one).strip())


def group_of(cells: Cells) -> str:
    """The item's group; "" for none."""
    found = cells.get(_column(cells, _GROUP) or "")
    return found.strip() if isinstance(found, str) else ""


def _column(cells: Cells, columns: Sequence[str]) -> str | None:
    return next((name for name in columns if cells.get(name) is not None), None)


def _several(found: object) -> Sequence[object]:
    return found if isinstance(found, list) else () if found is None else (found,)


def _options(cells: Cells) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The texts of the options, and their names in the file: those of `label`, or letters."""
    found = cells.get(_column(cells, _CHOICES) or "")
    names: Sequence[object] = ascii_uppercase
    if isinstance(found, dict):
        names = found.get("label") or ascii_uppercase
        found = found.get("text")
    if found is None and "A" in cells:
        letters = [letter for letter in ascii_uppercase if letter in cells]
        if letters != list(ascii_uppercase[: len(letters)]):
            raise BadRow("the columns of its options are not A, B, C and so on")
        found = [cells[letter] for letter in letters]
    if not isinstance(found, list) or not all(isinstance(one, str | int | float) for one in found):
        raise BadRow("it has no options")
    if not isinstance(names, str | list) or len(names) < len(found):
        raise BadRow("its options have fewer names than texts")
    return tuple(map(str, found)), tuple(str(name) for name in names[: len(found)])


def _check_options(options: Sequence[str]) -> None:
    stripped = [option.strip() for option in options]
    if not all(stripped):
        raise BadRow("one of its options is blank")
    twice = next((option for option in stripped if stripped.count(option) > 1), None)
    if twice is not None:
        raise BadRow(f"its option {quoted(twice)} occurs twice")


def _answer(cells: Cells, options: Sequence[str], names: Sequence[str]) -> int:
    """The index of the right option: a number counts from 0; a text is an option, its name in the file, or a number."""
    found = cells.get(_column(cells, _ANSWER) or "")
    if isinstance(found, bool) or not isinstance(found, str | int) or not str(found).strip():
        raise BadRow("it has no answer")
    text, places = str(found).strip(), set()
    if isinstance(found, str):
        places |= {place for place, option in enumerate(options) if option.strip() == text}
        places |= {place for place, name in enumerate(names) if name.casefold() == text.casefold()}
    named_by_number = isinstance(found, str) and names[0].isdigit()
    if text.isascii() and text.isdigit() and int(text) < len(options) and not named_by_number:
        places.add(int(text))
    if not places:
        raise BadRow(f"its answer {quoted(text)} is not one of the options")
    if len(places) > 1:
        raise BadRow(f"its answer {quoted(text)} can mean several options; write the letter or the number")
    return places.pop()


def quoted(text: str) -> str:
    """A text of a file in an error."""
    return f"“{visible(text, _SHOWN)}”"
