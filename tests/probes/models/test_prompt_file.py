"""Files of prompts are read by what is in them, and refused with a sentence."""

from __future__ import annotations

import io
import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from probes.models.prompt_file import MOST_BYTES, given_text, read_prompt_file
from probes.schema.conversation import Conversation, Turn
from probes.schema.errors import BadInput

TALK = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}]
READ = Conversation((Turn("system", "Be brief"),), "Hi")
PLAIN = Conversation((), "Why?")


def file(folder: Path, name: str, content: str | bytes) -> str:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


@pytest.mark.parametrize(
    ("name", "content", "prompts"),
    [
        ("talk.json", json.dumps(TALK), (READ,)),
        ("talk.json", json.dumps({"messages": TALK}, indent=2), (READ,)),
        ("talk", json.dumps(TALK, indent=1), (READ,)),
        ("many.json", json.dumps(["Why?", TALK, {"messages": TALK}, {"prompt": "Why?"}]), (PLAIN, READ, READ, PLAIN)),
        ("lines.jsonl", f'"Why?"\n\n{json.dumps(TALK)}\r\n{json.dumps({"prompt": TALK})}\n', (PLAIN, READ, READ)),
        ("lines.txt", f"{json.dumps(TALK)}\n{json.dumps(TALK)}\n", (READ, READ)),
        ("plain.txt", "Why?\r\n\n[INST] Why?\n", (PLAIN, Conversation((), "[INST] Why?"))),
        ("one.txt", "42", (Conversation((), "42"),)),
        ("marked.txt", "\ufeffWhy?\n", (PLAIN,)),
        ("marked.json", "\ufeff" + json.dumps(TALK), (READ,)),
    ],
)  # fmt: skip
def test_a_file_is_read_by_its_content(tmp_path: Path, name: str, content: str, prompts: tuple[object, ...]) -> None:
    assert read_prompt_file(file(tmp_path, name, content)).prompts == prompts


def test_a_number_names_one_prompt_of_many(tmp_path: Path) -> None:
    name = file(tmp_path, "many.txt", "one\ntwo\nthree\n")
    assert read_prompt_file(f"{name}#3").only.prompt == "three"
    assert read_prompt_file(name).named.prompt == "one"
    with pytest.raises(BadInput, match=r"holds 3 prompts.*#1"):
        _ = read_prompt_file(name).only
    with pytest.raises(BadInput, match="no prompt 4"):
        read_prompt_file(f"{name}#4")
    exactly = file(tmp_path, "many.txt#3", "another")
    assert read_prompt_file(exactly).only.prompt == "another"


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.json", "{", "a.json is not JSON (line 1, column 2)."),
        ("a.json", '[\n  "Why?"\n  "How?"]', "a.json is not JSON (line 3, column 3)."),
        ("a.json", '["\\ud800"]', "a.json is not JSON."),
        ("a.json", "[" * 100_000, "a.json is not JSON."),
        ("a.json", '"Why?"', "a.json is JSON, but neither a list nor an object."),
        ("a.json", "[]", "holds no prompt"),
        ("a.json", '["Why?", " "]', "Prompt 2 of a.json is empty"),
        ("a.json", '["Why?", 3]', "Prompt 2 of a.json is no list of messages"),
        ("a.jsonl", '"Why?"\n{', "Line 2 of a.jsonl is not JSON"),
        ("a.jsonl", '{"text": "Why?"}', 'no "messages" and no "prompt"; it has text'),
        ("a.jsonl", '[{"content": "Hi"}]', "Message 1 of line 1 of a.jsonl has no role"),
        ("a.json", json.dumps({"messages": TALK, "tools": [1]}), "has tools"),
        ("a.txt", " \n\n", "is empty"),
        ("a.txt", b"caf\xe9", "not UTF-8 text (byte 0xe9 at 3)"),
        ("a.txt", b"a" * (MOST_BYTES + 1), "larger than 4 MB"),
    ],
)
def test_what_cant_be_read_is_refused(tmp_path: Path, name: str, content: str | bytes, sentence: str) -> None:
    with pytest.raises(BadInput) as refused:
        read_prompt_file(file(tmp_path, name, content))
    assert sentence in str(refused.value)


def test_a_missing_file_brings_its_neighbour_to_mind(tmp_path: Path) -> None:
    file(tmp_path, "prompts.txt", "Why?")
    with pytest.raises(BadInput) as refused:
        read_prompt_file(str(tmp_path / "prompt.txt"))
    assert "prompts.txt" in refused.value.hint
    with pytest.raises(BadInput, match="can't be read"):
        given_text(str(tmp_path), "text")


def test_standard_input_is_read_as_a_file_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(TALK).encode())))
    assert read_prompt_file("-").only == READ
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO("\ufeffa text".encode())))
    assert given_text("-", "text") == "a text"
