"""Reads the prompts and the texts that a person names: files, and standard input. Free of torch."""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import msgspec

from probes.models.spec_check import nearby
from probes.schema.conversation import SHAPE, Conversation, conversation_of, turns_of
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.system.user_folders import expanded

MOST_BYTES = 4 << 20
"""The largest file. Its text goes into the header of a recording, whose lines are at most four times as long."""
STANDARD_INPUT = "-"
_LINES = (".jsonl", ".ndjson")
_NUMBERED = re.compile(r"(.+)#(\d{1,9})", re.DOTALL)
_SHOWN = 200
_SHAPES = f'Write one prompt a line, or JSON: texts, messages like {SHAPE}, or objects with "messages" or "prompt".'
_IGNORED = ("tools", "documents", "functions")
"""Keys beside messages that a template would need, and that can't be given here."""


@dataclass(frozen=True, slots=True)
class PromptFile:
    """The prompts of a file, in its order, and the one that was named."""

    path: str
    """As it was typed, without a number; "-" is standard input."""
    prompts: tuple[Conversation, ...]
    number: int | None = None
    """From 1; None if none was named."""

    @property
    def named(self) -> Conversation:
        """The prompt that was named; the first one if none was."""
        return self.prompts[(self.number or 1) - 1]

    @property
    def only(self) -> Conversation:
        """The prompt that was named, or the file's only one. Raises `BadInput` if it has several."""
        if self.number is None and len(self.prompts) > 1:
            shown = visible(self.path, _SHOWN)
            raise BadInput(
                "Which prompt", f"{shown} holds {len(self.prompts):,} prompts.", f"Name one of them: {shown}#1."
            )
        return self.named


def read_prompt_file(name: str) -> PromptFile:
    """The prompts of a file, of `FILE#3`, or of standard input ("-").

    A JSON file holds one conversation (`{"messages": […]}` or a list of messages) or a list of prompts; JSON Lines has
    a prompt in each line; any other text, one prompt a line. A prompt is a text, a list of messages, or an object with
    `messages` or `prompt`. The content decides, and the ending only where it could be both. Raises `BadInput` if there
    is no such file or prompt, or if one of them can't be read.
    """
    path, number = _numbered(name)
    prompts = _prompts(given_text(path, "prompt"), path)
    if number is not None and not 1 <= number <= len(prompts):
        has = f"{visible(path, _SHOWN)} holds {len(prompts):,} {'prompt' if len(prompts) == 1 else 'prompts'}"
        raise BadInput("Which prompt", f"{has}, and no prompt {number:,}.", "They count from 1.")
    return PromptFile(path, prompts, number)


def given_text(name: str, what: str) -> str:
    """The text of a file, without a byte order mark; for "-", all of standard input. `what` is the text for.

    Raises `BadInput` for a file that is missing, empty, too large, or no UTF-8 text.
    """
    shown = "Standard input" if name == STANDARD_INPUT else visible(name, _SHOWN)
    title = f"File of the {what}"
    try:
        raw = _raw(name, title)
    except OSError as problem:
        raise BadInput(title, f"{shown} can't be read ({problem.strerror}).", "Name a text file.") from problem
    if len(raw) > MOST_BYTES:
        hint = "`phier score FILE` scores long texts." if what == "text" else "Divide it."
        raise BadInput(title, f"{shown} is larger than {MOST_BYTES >> 20} MB.", hint)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as problem:
        where = f"byte {problem.object[problem.start]:#04x} at {problem.start:,}"
        raise BadInput(title, f"{shown} is not UTF-8 text ({where}).", "Convert it to UTF-8.") from problem
    if not text.strip():
        raise BadInput(title, f"{shown} is empty.", "Name a file with a text in it.")
    return text


def _raw(name: str, title: str) -> bytes:
    if name == STANDARD_INPUT:
        return sys.stdin.buffer.read(MOST_BYTES + 1)
    path = expanded(name)
    if not os.path.exists(path):
        raise BadInput(title, f"There is no file {visible(name, _SHOWN)}.", f"{nearby(path)}Name a text file.")
    with path.open("rb") as file:
        return file.read(MOST_BYTES + 1)


def _numbered(name: str) -> tuple[str, int | None]:
    """The file and the number of the prompt. If a file has exactly this name, that file is meant."""
    found = _NUMBERED.fullmatch(name)
    return (name, None) if found is None or expanded(name).exists() else (found[1], int(found[2]))


def _prompts(text: str, path: str) -> tuple[Conversation, ...]:
    shown = "Standard input" if path == STANDARD_INPUT else visible(Path(path).name, _SHOWN)
    ending = Path(path).suffix.lower()
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    whole = None if ending in _LINES else _parsed(text)
    if isinstance(whole, dict | list):
        return _of_whole(whole, shown)
    if ending == ".json":
        raise BadInput("Prompts", f"{shown} {_fault(text)}.", _SHAPES)
    if ending in _LINES or isinstance(_parsed(lines[0][1]), dict | list):
        return tuple(_of_line(line, f"Line {number:,} of {shown}") for number, line in lines)
    return tuple(Conversation((), line.removesuffix("\r")) for _, line in lines)


def _of_whole(found: dict[str, object] | list[object], where: str) -> tuple[Conversation, ...]:
    if isinstance(found, list) and not (found and all(isinstance(one, dict) and "role" in one for one in found)):
        if not found:
            raise BadInput("Prompts", f"{where} holds no prompt.", _SHAPES)
        return tuple(_one(item, f"Prompt {place:,} of {where}") for place, item in enumerate(found, 1))
    return (_one(found, where),)


def _of_line(line: str, where: str) -> Conversation:
    try:
        return _one(msgspec.json.decode(line), where)
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadInput("Prompts", f"{where} is not JSON.", _SHAPES) from problem


def _one(found: object, where: str) -> Conversation:
    if isinstance(found, str):
        if not found.strip():
            raise BadInput("Prompts", f"{where} is empty.", "Fill it, or leave it out.")
        return Conversation((), found)
    if isinstance(found, dict) and "messages" not in found:
        if "prompt" not in found:
            names = ", ".join(visible(str(name), 40) for name in list(found)[:5]) or "nothing"
            raise BadInput("Prompts", f'{where} has no "messages" and no "prompt"; it has {names}.', _SHAPES)
        return _one(found["prompt"], where)
    named = [name for name in _IGNORED if isinstance(found, dict) and found.get(name)]
    if named:
        raise BadInput("Prompts", f"{where} has {named[0]}, which can't be given to the template.", "Leave them out.")
    return conversation_of(turns_of(found, where), where)


def _fault(text: str) -> str:
    """Why a text is no JSON list or object of prompts, with the place at which it stops being JSON."""
    try:
        found = json.loads(text)
    except json.JSONDecodeError as problem:
        return f"is not JSON (line {problem.lineno:,}, column {problem.colno:,})"
    except RecursionError:
        found = []
    return "is not JSON" if isinstance(found, dict | list) else "is JSON, but neither a list nor an object"


def _parsed(text: str) -> object:
    """The text as JSON; None if it is none."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None
