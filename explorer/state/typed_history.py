"""What a person has typed into fields, from one sitting to the next, and the walk through it with the arrow keys."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec
from filelock import FileLock, Timeout

from probes.schema.errors import BadInput, Failure
from probes.system.files import replace_file
from probes.system.user_folders import CONFIG_VARIABLE, config_folder, expanded

FieldKind = Literal["prompt", "system", "assistant", "template", "setting", "until", "file", "text"]
"""What is typed into a field; each kind has a history of its own."""
MOST_ENTRIES = 300
"""Entries of one kind that are kept, the latest ones."""
LONGEST_ENTRY = 64 * 1024
"""Bytes of the longest text that is remembered; longer ones come from files."""
MOST_HISTORY = 2 << 20
"""Bytes of the file above which the oldest entries are left out."""
_PATIENCE = 2.0
"""Seconds to wait while another program writes."""


class _Entry(msgspec.Struct):
    kind: str
    text: str


_own: list[deque[_Entry]] = []
"""Holds the entries of this process if they are its own."""


def remember_here_alone() -> None:
    """From here on, this process shares no history with others: it reads and writes no file, and what is typed into it
    is forgotten when it ends."""
    _own[:] = [deque(maxlen=MOST_ENTRIES)]


class TypedHistory:
    """A file of lines, one an entry, the latest last. Every program that runs adds to the same file, unless it was
    told to `remember_here_alone`.

    An entry is on the disk before `add` returns. A line that a killed program left unfinished is passed over.
    """

    @property
    def path(self) -> Path:
        """The file, readable by its user only. It need not exist."""
        return config_folder() / "history.jsonl"

    def entries(self, kind: FieldKind) -> tuple[str, ...]:
        """What was typed into fields of this kind, each text once, the latest first. Empty if it can't be read. Files
        that may not be used here (`probes.system.fence`) are left out."""
        found = dict.fromkeys(one.text for one in reversed(self._entries) if one.kind == kind)
        return tuple(text for text in found if kind != "file" or _is_allowed(text))[:MOST_ENTRIES]

    def add(self, kind: FieldKind, text: str) -> None:
        """Remembers a text that is not blank and not too long. Raises `Failure` if it can't be written."""
        line = msgspec.json.encode(_Entry(kind, text.encode("utf-8", "replace").decode())) + b"\n"
        if not text.strip() or len(line) > LONGEST_ENTRY or self.entries(kind)[:1] == (text,):
            return
        if _own:
            _own[0].append(_Entry(kind, text))
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._alone():
                if _append(self.path, line) > MOST_HISTORY:
                    replace_file(self.path, _shortened(self.path.read_bytes()))
        except (OSError, NotImplementedError, Timeout) as problem:  # a file system may have no locks
            reason = getattr(problem, "strerror", None) or "another program is writing it"
            raise Failure(
                "Not remembered",
                f"What was typed could not be added to {self.path} ({reason}).",
                f"Free some space there, or name another folder in {CONFIG_VARIABLE}.",
            ) from problem

    @property
    def _entries(self) -> list[_Entry]:
        if _own:
            return list(_own[0])
        try:
            return list(_read(self.path.read_bytes()))
        except OSError:
            return []

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """While no other program writes; the system releases the lock of a program that is killed."""
        with FileLock(self.path.with_name(f"{self.path.name}.lock"), timeout=_PATIENCE, mode=0o600):
            yield


class HistoryWalk:
    """The way through earlier texts from a field, and back to what was in it.

    Only texts that begin with what was typed are met; a field that nobody has typed into meets all.
    """

    def __init__(self, entries: Sequence[str], text: str = "") -> None:
        """`entries` have the latest first; `text` is what the field begins with."""
        self._entries = entries
        self._draft, self._prefix = text, ""
        self._found: list[str] | None = None
        """The texts that can be met, the draft first; None before the first step."""
        self._at = 0

    def type(self, text: str) -> None:
        """The field was edited: the walk begins again from here. What the walk itself put there changes nothing."""
        if text != self._present:
            self._draft = self._prefix = text
            self._found, self._at = None, 0

    def older(self) -> str | None:
        """The next older text; None if there is none."""
        found = self._texts
        if self._at + 1 >= len(found):
            return None
        self._at += 1
        return found[self._at]

    def newer(self) -> str | None:
        """The next newer text, at last what was in the field; None if that is in it now."""
        if not self._at:
            return None
        self._at -= 1
        return self._texts[self._at]

    @property
    def place(self) -> tuple[int, int]:
        """How many steps back the field shows, and how many there are."""
        return self._at, len(self._texts) - 1

    @property
    def _texts(self) -> list[str]:
        if self._found is None:
            earlier = (text for text in self._entries if text.startswith(self._prefix) and text != self._draft)
            self._found = [self._draft, *earlier]
        return self._found

    @property
    def _present(self) -> str:
        return self._found[self._at] if self._found is not None else self._draft


def _is_allowed(path: str) -> bool:
    try:
        expanded(path)
    except BadInput:
        return False
    return True


def _read(raw: bytes) -> Iterator[_Entry]:
    for line in raw.split(b"\n"):
        try:
            yield _LINE.decode(line)
        except msgspec.MsgspecError:
            continue  # an empty line, or one that was cut


def _append(path: Path, line: bytes) -> int:
    """Adds the line, on a line of its own, and returns the size of the file."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.fchmod(handle, 0o600)
        size = os.fstat(handle).st_size
        cut = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
        whole = b"\n" + line if cut else line
        if os.write(handle, whole) < len(whole):
            raise OSError("the disk is full")
        os.fsync(handle)
        return size + len(whole)
    finally:
        os.close(handle)


def _shortened(raw: bytes) -> str:
    """The latest entries, each once, in half of the largest size."""
    kept: dict[tuple[str, str], bytes] = {}
    counts: dict[str, int] = {}
    size = 0
    for one in reversed(list(_read(raw))):
        line = msgspec.json.encode(one) + b"\n"
        if (one.kind, one.text) in kept or counts.get(one.kind, 0) >= MOST_ENTRIES:
            continue
        size += len(line)
        if size > MOST_HISTORY // 2:
            break
        counts[one.kind] = counts.get(one.kind, 0) + 1
        kept[one.kind, one.text] = line
    return b"".join(reversed(kept.values())).decode()


_LINE = msgspec.json.Decoder(_Entry)
