"""Makes the documents and queries of a retrieval task of rows. Free of torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from probes.schema.items import Collection, Document, Query
from probes.tasks.item_columns import (
    DOCUMENT_COLUMNS,
    DOCUMENTS_COLUMNS,
    NEGATIVES_COLUMNS,
    POSITIVE_COLUMNS,
    QUERY_COLUMNS,
    quoted,
    row_id,
    text_in,
    texts_in,
)
from probes.tasks.item_rows import BadRow, Row


@dataclass(slots=True)
class Library:
    """The documents so far. Texts that are the same are one document."""

    by_id: dict[str, Document] = field(default_factory=dict)
    by_text: dict[str, Document] = field(default_factory=dict)

    def add(self, document_id: str, text: str) -> None:
        if text in self.by_text:
            return
        document = Document(document_id, text)
        if document_id in self.by_id:
            raise BadRow(f"its id {quoted(document_id)} occurs before")
        self.by_id[document_id] = self.by_text[text] = document

    def find(self, name: str) -> Document | None:
        """The document with this id or with this text."""
        return self.by_id.get(name) or self.by_text.get(name)


def collected(rows: Sequence[Row]) -> tuple[Collection, list[tuple[int, str]]]:
    """The documents and queries of the rows, and the lines that can't be used, each with the reason.

    A row with a document is one. A row with a query names its positives by id or by text, and may bring documents of
    its own, which join those that all queries choose among. If the file has no documents but positives and negatives,
    these are the documents.
    """
    library, bad = Library(), []
    for row in rows:
        try:
            _add_documents(library, row)
        except BadRow as problem:
            bad.append((row.line, str(problem)))
    named = bool(library.by_id)
    queries: dict[str, Query] = {}
    lost = {line for line, _ in bad}
    for row in rows:
        if row.line in lost or row.problem or not _is_query(row):
            continue
        try:
            query = _query(library, row, named)
            if query.id in queries:
                raise BadRow(f"its id {quoted(query.id)} occurs before")
            queries[query.id] = query
        except BadRow as problem:
            bad.append((row.line, str(problem)))
    return Collection(tuple(library.by_id.values()), tuple(queries.values())), sorted(bad)


def _is_query(row: Row) -> bool:
    return any(name in row.cells for name in QUERY_COLUMNS)


def _add_documents(library: Library, row: Row) -> None:
    if row.problem:
        raise BadRow(row.problem)
    for number, text in enumerate(texts_in(row.cells, DOCUMENTS_COLUMNS), 1):
        library.add(f"{row_id(row)}.{number}", text)
    if not _is_query(row):
        text = text_in(row.cells, DOCUMENT_COLUMNS, "query and no document")
        if text in library.by_text:
            raise BadRow(f"its text is that of document {quoted(library.by_text[text].id)}")
        library.add(row_id(row), text)


def _query(library: Library, row: Row, named: bool) -> Query:
    text = text_in(row.cells, QUERY_COLUMNS, "query")
    positives = texts_in(row.cells, POSITIVE_COLUMNS)
    if not positives:
        raise BadRow("it names no positive document")
    if not named:
        for number, one in enumerate((*positives, *texts_in(row.cells, NEGATIVES_COLUMNS)), 1):
            library.add(f"{row_id(row)}.{number}", one)
    found = {name: library.find(name) for name in positives}
    missing = next((name for name, document in found.items() if document is None), None)
    if missing is not None:
        raise BadRow(f"its positive {quoted(missing)} is in no document")
    return Query(row_id(row), text, tuple(dict.fromkeys(document.id for document in found.values() if document)))
