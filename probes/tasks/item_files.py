"""Finds and reads item sets: those that ship with the program, files, and data sets of the hub. Free of torch."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from probes.models.hub_rows import dataset_rows, may_be_dataset
from probes.models.spec_check import nearby
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import PLACE, QUESTION, ItemSet, TaskKind, Way, Wording
from probes.schema.nearest import did_you_mean
from probes.schema.task_options import Pooling
from probes.system.progress import UNWATCHED, Work
from probes.system.user_folders import expanded
from probes.tasks.item_collection import collected
from probes.tasks.item_columns import (
    LABEL_COLUMNS,
    group_of,
    kind_of,
    label_in,
    labelled,
    question_of,
    quoted,
    short_answer,
)
from probes.tasks.item_rows import HINT, TITLE, BadRow, Row, file_rows

SHIPPED = Path(__file__).parent / "items"
"""The folder of the item sets that ship."""
SPLITS = ("test", "validation", "train")
"""The splits of a data set of the hub, in the order in which they are looked for."""
_HEADER = "set"
"""The only field of a JSON Lines file's first object, if it describes the set."""
_LISTED = 5
"""How many bad lines an error or a note lists."""
_SHOWN = 300


class _About(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """What the first object of a file may say about the items in it."""

    instruction: str | None = None
    form: str | None = None
    labels: tuple[str, ...] = ()


class _Header(_About, forbid_unknown_fields=True, frozen=True):
    name: str = ""
    kind: TaskKind | None = None
    way: Way | None = None
    chat: bool = False
    pooling: Pooling = Pooling.MEAN
    groups: dict[str, _About] = {}


class _HasId(Protocol):
    @property
    def id(self) -> str: ...


Item = TypeVar("Item", bound=_HasId)
Bad = list[tuple[int, str]]
"""Lines that can't be used, and why."""


def shipped_names() -> tuple[str, ...]:
    """The names of the item sets that ship, in the order of their kinds."""
    return ("facts", "labels", "documents", "answers")


def item_set(
    source: str,
    *,
    kind: TaskKind | None = None,
    way: Way | None = None,
    labels: Sequence[str] = (),
    skip_bad: bool = False,
    limit: int | None = None,
    work: Work = UNWATCHED,
) -> ItemSet:
    """The items of this name: a set that ships, a file, or a data set of the hub.

    `kind` is found from the columns unless given; `way` is continuation for options and letter for labels. `labels`
    names the labels of classification in the order of their numbers. With `skip_bad`, rows that can't be used are left
    out, with a note. `limit` takes the first items only. Raises `BadInput` if there is no such source, or for rows that
    can't be used, with their lines; `Failure` if a data set can't be downloaded.
    """
    if limit is not None and limit < 1:
        raise BadInput(TITLE, f"{limit} items can't be taken.", "Take 1 or more.")
    name, rows, classes = _rows_of(source, limit, work)
    header, rows = _about(name, rows)
    labels = tuple(labels) or header.labels or classes
    kind = kind or header.kind or kind_of({column for row in rows for column in row.cells})
    if kind is None:
        columns = visible(", ".join(dict.fromkeys(column for row in rows for column in row.cells)), 200) or "none"
        raise BadInput(TITLE, f"The columns of {name} are those of no kind of item: {columns}.", HINT)
    default = QUESTION if kind in (TaskKind.OPTIONS, TaskKind.CLASSIFICATION) else Wording()
    wording = _wording(header, default)
    found, bad = _items(kind, rows, {"": labels, **{group: about.labels for group, about in header.groups.items()}})
    found = replace(
        found,
        name=header.name or name,
        way=way or header.way or (Way.CONTINUATION if kind is TaskKind.OPTIONS else Way.LETTER),
        wording=wording,
        group_wordings={group: _wording(about, wording) for group, about in header.groups.items()},
        chat=header.chat,
        pooling=header.pooling,
    )
    found = _cut(found, limit)
    if bad and not skip_bad:
        hint = f"Correct {'it' if len(bad) == 1 else 'them'}, or leave bad lines out (--skip-bad). {HINT}"
        raise BadInput(TITLE, f"{_lines(bad)} of {name} can't be used: {_reasons(bad)}.", hint)
    if not len(found):
        why = f" {_lines(bad)} can't be used: {_reasons(bad)}." if bad else ""
        raise BadInput(TITLE, f"{name} has no items.{why}", HINT)
    notes = (f"{_lines(bad)} can't be used and {'is' if len(bad) == 1 else 'are'} left out: {_reasons(bad)}.",)
    return replace(found, digest=_digest(found), notes=notes if bad else ())


def check_item_file(source: str) -> None:
    """Raises `BadInput` for a name of no set that ships, no file and no data set, and for a file that can't be used.

    Of a data set of the hub nothing is known before it is downloaded.
    """
    if os.path.exists(expanded(source)):
        item_set(source)
    elif source not in shipped_names() and (not may_be_dataset(source) or _named_as_file(source)):
        raise _nothing_there(source)


# Where the rows are -------------------------------------------------------------------------------------------


def _rows_of(source: str, limit: int | None, work: Work) -> tuple[str, Sequence[Row], tuple[str, ...]]:
    """The short name of the set, its rows, and the names of its numbered labels if a data set of the hub has them."""
    path = expanded(source)
    if os.path.isdir(path):
        raise BadInput(TITLE, f"{visible(source, _SHOWN)} is a folder.", "Name a file of items.")
    if os.path.isfile(path):
        return visible(path.name.split(".")[0] or path.name, 60), file_rows(path), ()
    if source in shipped_names():
        return source, file_rows(SHIPPED / f"{source}.jsonl"), ()
    if may_be_dataset(source) and not _named_as_file(source):
        classes: dict[str, tuple[str, ...]] = {}
        found = dataset_rows(source, work, title=TITLE, splits=SPLITS, classes=classes)
        rows = [
            Row(number, row) if isinstance(row, Mapping) else Row(number, {}, "it has no columns")
            for number, row in enumerate(islice(found, limit), 1)
        ]
        names_of = next((classes[column] for column in LABEL_COLUMNS if column in classes), ())
        return visible(source.split("/")[1].partition(":")[0], 60), rows, names_of
    raise _nothing_there(source)


def _nothing_there(source: str) -> BadInput:
    near = did_you_mean(source, list(shipped_names())) or nearby(expanded(source))
    names = ", ".join(shipped_names())
    return BadInput(
        TITLE,
        f"There is no file {visible(source, _SHOWN)}, and no item set of this name.",
        f"{near}Name a file, a data set as owner/name, or one of {names}.",
    )


def _named_as_file(source: str) -> bool:
    return source.lower().endswith((".jsonl", ".json", ".csv", ".tsv", ".gz", ".txt"))


def _about(name: str, rows: Sequence[Row]) -> tuple[_Header, Sequence[Row]]:
    if not rows or set(rows[0].cells) != {_HEADER}:
        return _Header(), rows
    try:
        header = msgspec.convert(rows[0].cells[_HEADER], _Header)
        for about in (header, *header.groups.values()):
            if about.form is not None and PLACE not in about.form:
                raise msgspec.ValidationError(f"a form needs {PLACE} where the text goes")
        return header, rows[1:]
    except msgspec.ValidationError as problem:
        message = f"The first line of {name} does not describe a set ({visible(str(problem), _SHOWN)})."
        raise BadInput(TITLE, message, HINT) from problem


def _wording(about: _About, default: Wording) -> Wording:
    instruction = default.instruction if about.instruction is None else about.instruction
    return Wording(instruction, default.form if about.form is None else about.form)


# Items of rows ------------------------------------------------------------------------------------------------


def _items(kind: TaskKind, rows: Sequence[Row], labels: Mapping[str, Sequence[str]]) -> tuple[ItemSet, Bad]:
    if kind is TaskKind.RETRIEVAL:
        collection, bad = collected(rows)
        return ItemSet("", kind, collection=collection), bad
    if kind is TaskKind.GENERATION:
        prompts, bad = _each(rows, short_answer)
        return ItemSet("", kind, prompts=prompts), bad
    if kind is TaskKind.OPTIONS:
        questions, bad = _each(rows, question_of)
        return ItemSet("", kind, questions=questions), bad
    for names in labels.values():
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise BadInput(TITLE, f"The label {quoted(twice)} is given twice.", "Name each label once.")
    known = {**_labels_of(rows), **{group: names for group, names in labels.items() if names}}
    questions, bad = _each(rows, lambda row: labelled(row, known))
    alone = next((one for one in questions if len(set(one.options)) < 2), None)
    if alone is not None:
        raise BadInput(TITLE, f"All texts have the label {quoted(alone.options[0])}.", "Name the other labels.")
    return ItemSet("", kind, questions=questions), bad


def _each(rows: Sequence[Row], make: Callable[[Row], Item]) -> tuple[tuple[Item, ...], Bad]:
    """The items of the rows, and the rows that give none."""
    found: dict[str, Item] = {}
    bad: Bad = []
    for row in rows:
        try:
            if row.problem:
                raise BadRow(row.problem)
            item = make(row)
            if item.id in found:
                raise BadRow(f"its id {quoted(item.id)} occurs before")
            found[item.id] = item
        except BadRow as problem:
            bad.append((row.line, str(problem)))
    return tuple(found.values()), bad


def _labels_of(rows: Sequence[Row]) -> dict[str, Sequence[str]]:
    """The label words of each group, in the order in which they occur; none for a group whose labels are numbers."""
    words: dict[str, dict[str, None]] = {}
    for row in rows:
        try:
            words.setdefault(group_of(row.cells), {})[label_in(row.cells)] = None
        except BadRow:
            continue
    return {group: tuple(names) for group, names in words.items() if not all(map(str.isdigit, names))}


def _cut(items: ItemSet, limit: int | None) -> ItemSet:
    collection = items.collection
    return replace(
        items,
        questions=items.questions[:limit],
        prompts=items.prompts[:limit],
        collection=collection and replace(collection, queries=collection.queries[:limit]),
    )


# Words --------------------------------------------------------------------------------------------------------


def _lines(bad: Bad) -> str:
    return "1 line" if len(bad) == 1 else f"{len(bad):,} lines"


def _reasons(bad: Bad) -> str:
    """The first bad lines, each with the reason."""
    listed = [f"line {line:,} ({problem})" for line, problem in bad[:_LISTED]]
    return "; ".join(listed) + (f"; and {len(bad) - _LISTED:,} more" if len(bad) > _LISTED else "")


def _digest(items: ItemSet) -> str:
    """The SHA-256, hex, of the items and of how they are asked."""
    return hashlib.sha256(msgspec.json.encode(items)).hexdigest()
