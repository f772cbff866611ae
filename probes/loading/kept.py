"""Folders that are written once, as a whole or not at all, and checked before every use."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from probes.loading.cache import hash_file, locked, write_atomically
from probes.loading.work import Work

_MANIFEST = "manifest.json"


def keep(folder: Path, build: Callable[[Path], None], work: Work, task: str, *, thorough: bool = False) -> Path:
    """`folder` as `build` made it: now, if it is missing or damaged, and by one process only.

    `build` fills an empty folder beside it, which takes its place in one move once it is complete. A copy is taken
    for whole where every file has the size and the time of change it was written with; a file whose time differs is
    hashed, and with `thorough` all are.
    """
    if intact(folder, work, thorough=thorough):
        return folder
    with locked(folder, work, f"Waiting for another phier: {task}"):
        if intact(folder, work, thorough=thorough):
            return folder
        for leftover in [folder, *folder.parent.glob(f"{folder.name}.part-*")]:
            _remove(leftover)
        part = folder.with_name(f"{folder.name}.part-{os.getpid()}")
        part.mkdir(parents=True)
        try:
            build(part)
            _seal(part, work, task)
            part.replace(folder)
        finally:
            _remove(part)
    return folder


def intact(folder: Path, work: Work, *, thorough: bool = False) -> bool:
    """True where the folder is what its manifest says."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text("utf-8"))
        written = {str(name): (int(size), int(when), str(digest)) for name, (size, when, digest) in manifest.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return False  # missing, cut short or overwritten: whatever it was, it is made anew
    if written.keys() != {path.name for path in _files(folder)}:
        return False
    moved = False
    for name, (size, when, digest) in written.items():
        found = (folder / name).stat()
        if found.st_size != size:
            return False
        if thorough or found.st_mtime_ns != when:
            if hash_file(folder / name, work, f"Checking {folder.name}") != digest:
                return False
            moved = moved or found.st_mtime_ns != when
    if moved:
        _write_manifest(folder, {name: digest for name, (_, _, digest) in written.items()})
    return True


def _seal(folder: Path, work: Work, task: str) -> None:
    digests = {path.name: hash_file(path, work, task) for path in _files(folder)}
    for path in _files(folder):
        with path.open("rb") as file:
            os.fsync(file.fileno())
    _write_manifest(folder, digests)


def _write_manifest(folder: Path, digests: dict[str, str]) -> None:
    entries = {}
    for name, digest in sorted(digests.items()):
        found = (folder / name).stat()
        entries[name] = [found.st_size, found.st_mtime_ns, digest]
    write_atomically(folder / _MANIFEST, json.dumps(entries, indent=1))


def _remove(path: Path) -> None:
    """Removes a folder or a file, whichever it is, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != _MANIFEST)
