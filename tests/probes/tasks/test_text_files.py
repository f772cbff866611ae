"""Files of texts: what is read, and a sentence for each that can't be."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.schema.errors import BadInput
from probes.tasks import text_files as module
from probes.tasks.text_files import check_texts, digest_of, read_files, text_files


def texts(*paths: Path) -> list[str]:
    return ["".join(text.pieces) for text in read_files(paths)]


def test_a_file_is_read_in_pieces_that_join_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PIECE", 20)
    path = tmp_path / "a.txt"
    for content in ("one line\nand another\r\nand more\n\n" * 4, "no line break at all " * 5, "é" * 45):
        path.write_bytes(content.encode())
        (text,) = read_files([path])
        pieces = list(text.pieces)
        assert "".join(pieces) == content
        assert len(pieces) > 1
        assert max(map(len, pieces)) <= 40


def test_lines_of_a_json_lines_file_are_texts_with_their_numbers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "one"}\n\n{"prompt": "two", "answer": 3}\n"three"', "utf-8")
    assert [(text.name, "".join(text.pieces)) for text in read_files([path])] == [
        ("a.jsonl:1", "one"),
        ("a.jsonl:3", "two"),
        ("a.jsonl:4", "three"),
    ]


def test_a_folder_is_its_text_files_in_order(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.txt", "a.md", "in/c.jsonl", "d.bin", ".e.txt"):
        (tmp_path / name).write_text('{"text": "x"}')
    assert [path.name for path in text_files([str(tmp_path)])] == ["a.md", "b.txt", "c.jsonl"]


def test_a_byte_order_mark_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("word", "utf-8-sig")
    assert texts(path) == ["word"]


def test_the_digest_changes_with_a_byte_and_with_the_order(tmp_path: Path) -> None:
    one, other = tmp_path / "a.txt", tmp_path / "b.txt"
    one.write_text("a")
    other.write_text("b")
    assert digest_of([one, other]) != digest_of([other, one])
    before = digest_of([one])
    one.write_text("c")
    assert digest_of([one]) != before


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"", "a.txt has no text"),
        ("a.txt", b" \n\n ", "a.txt has no text"),
        ("a.txt", "grün".encode("latin-1"), r"a.txt is not UTF-8 text \(byte 0xfc\)"),
        ("a.txt", "text".encode("utf-16"), "a.txt is not UTF-8 text"),
        ("a.jsonl", b"\n", "a.jsonl has no text"),
        ("a.jsonl", b'{"text": "x"}\n{broken', "Line 2 of a.jsonl is not JSON"),
        ("a.jsonl", b'{"text": "x"}\n{"title": "y"}', "Line 2 of a.jsonl has no text in a field"),
        ("a.jsonl", b'{"text": 7}', "Line 1 of a.jsonl has no text in a field"),
    ],
)
def test_a_file_that_can_not_be_read_gets_a_sentence(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(BadInput, match=message):
        texts(path)


def test_what_is_not_there_or_holds_nothing_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("x")
    (tmp_path / "empty").mkdir()
    for names, message in (
        ([], "No file with a text"),
        ([str(tmp_path / "none.txt")], "There is no file"),
        ([str(tmp_path / "empty")], "has no file that ends in .txt"),
    ):
        with pytest.raises(BadInput, match=message):
            check_texts(names)
