"""The folder where downloads and conversions are kept, the locks on it, and digests that need not be taken twice."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from platformdirs import user_cache_path

from probes.errors import Failure
from probes.loading.work import Work

CHUNK = 1 << 22
"""Bytes hashed between two looks at whether to stop."""


def cache_folder() -> Path:
    """The program's cache folder: PHIER_CACHE where it is set, else the platform's own place. Made where missing."""
    folder = Path(os.environ.get("PHIER_CACHE") or user_cache_path("phier", appauthor=False)).expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise Failure(
            "No cache folder",
            f"{folder} can't be made ({problem.strerror}).",
            "Name a folder that can be written to in the environment variable PHIER_CACHE.",
        ) from problem
    return folder


@contextmanager
def locked(path: Path, work: Work, waiting: str) -> Iterator[None]:
    """Holds the lock of `path` for one process at a time; `waiting` is what a person reads meanwhile.

    The lock is let go by the system when its process ends, however it ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(path.name + ".lock"))
    while True:
        try:
            lock.acquire(timeout=0.2)
            break
        except Timeout:
            work.tell(waiting)
    try:
        yield
    finally:
        lock.release()


def sha256(path: Path, work: Work, task: str) -> str:
    """SHA-256 of a file's bytes, hex; taken once for a path, size and time of change, and remembered."""
    signature = signature_of([path])
    known = recall("sha256", signature)
    if known:
        return known
    digest = hash_file(path, work, task)
    remember("sha256", signature, digest)
    return digest


def hash_file(path: Path, work: Work, task: str) -> str:
    """SHA-256 of a file's bytes, hex, read now."""
    digest = hashlib.sha256()
    total = path.stat().st_size
    done = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            done += len(chunk)
            work.tell(task, done, total, "bytes")
    return digest.hexdigest()


def signature_of(paths: Sequence[Path], *more: str) -> str:
    """Tells files apart without reading them: where they are, how long they are, when they last changed."""
    parts = []
    for path in sorted(path.resolve() for path in paths):
        found = path.stat()
        parts.append([str(path), found.st_size, found.st_mtime_ns])
    return hashlib.sha256(json.dumps([parts, more]).encode()).hexdigest()


def recall(kind: str, signature: str) -> str:
    """What was remembered of these files, or ""."""
    try:
        return (cache_folder() / "digests" / f"{kind}-{signature}").read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""  # not remembered, or no longer readable: the caller takes it again


def remember(kind: str, signature: str, digest: str) -> None:
    """Keeps a digest for later starts."""
    write_atomically(cache_folder() / "digests" / f"{kind}-{signature}", digest)


def write_atomically(path: Path, text: str, *, variable: str = "PHIER_CACHE") -> None:
    """Writes a small file so that a reader, or a cut of the power, finds the old one or the new one, never half.

    `variable` is the environment variable that names another folder. Raises `Failure` where it can't be written.
    """
    name = ""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except OSError as problem:
        if name:
            Path(name).unlink(missing_ok=True)
        raise Failure(
            "Can't write", f"{path} could not be written ({problem.strerror}).", f"Free some space, or set {variable}."
        ) from problem
