"""Locks paths in the cache folder, and stores digests of files there.

The cache is optional: if it can't be written, `Unkept` is raised, which callers turn into a note.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from probes.schema.errors import Failure
from probes.system.files import replace_file
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

CHUNK = 1 << 22
"""Bytes hashed between two checks for cancellation."""


class Unkept(Failure):
    """The cache folder can't be written: it is full, read-only, or not a folder."""

    def __init__(self, problem: Exception) -> None:
        self.reason = getattr(problem, "strerror", None) or str(problem).splitlines()[0]
        super().__init__(
            "Not kept",
            f"The cache folder {cache_folder()} can't be written ({self.reason}), so nothing is kept for later starts.",
            "Free some space there, or name another folder in PHIER_CACHE.",
        )


@contextmanager
def keeping() -> Iterator[None]:
    """Turns write errors in its block into `Unkept`."""
    try:
        yield
    except (OSError, SafetensorError) as problem:  # safetensors raises its own error for an OSError
        raise Unkept(problem) from problem


@contextmanager
def locked(path: Path, work: Work, waiting: str) -> Iterator[None]:
    """Holds the lock of `path`, which one process has at a time; `waiting` is reported while it waits.

    The system releases the lock when its process ends, however it ends. Raises OSError if the disk supports no locks.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(path)
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            work.report(waiting)
        except NotImplementedError as problem:  # a file system without locks
            raise OSError(str(problem)) from problem
    try:
        yield
    finally:
        lock.release()


def lock_of(path: Path) -> FileLock:
    """The lock of a path, not yet held."""
    return FileLock(path.with_name(path.name + ".lock"))


def sha256(path: Path, work: Work, task: str) -> str:
    """SHA-256 of a file's bytes, hex; stored for its path, size and time of change."""
    signature = signature_of([path])
    known = recall("sha256", signature)
    if known:
        return known
    digest = hash_file(path, work, task)
    try:
        remember("sha256", signature, digest)
    except Unkept as problem:
        work.note(problem.message)
    return digest


def hash_file(path: Path, work: Work, task: str) -> str:
    """SHA-256 of a file's bytes, hex, computed now."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            work.report(task, done, total, "bytes")
    return digest.hexdigest()


def signature_of(paths: Sequence[Path], *more: str) -> str:
    """A hash that identifies files without reading them, from their paths, sizes and times of change."""
    parts = []
    for path in sorted(path.resolve() for path in paths):
        found = path.stat()
        parts.append([str(path), found.st_size, found.st_mtime_ns])
    return hashlib.sha256(json.dumps([parts, more]).encode()).hexdigest()


def recall(kind: str, signature: str) -> str:
    """The digest remembered for these files, or ""."""
    try:
        return (cache_folder() / "digests" / f"{kind}-{signature}").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # not stored, or unreadable: the caller computes it again


def remember(kind: str, signature: str, digest: str) -> None:
    """Stores a digest for later starts. Raises `Unkept` if it can't be written."""
    with keeping():
        replace_file(cache_folder() / "digests" / f"{kind}-{signature}", digest)
