"""Keeps folders that are written once, as a whole or not at all, and checked before every use."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

from filelock import Timeout

from probes.schema.errors import Failure
from probes.system.cache_folder import Unkept, hash_file, keeping, lock_of, locked
from probes.system.files import place_of, remove_leftovers, replace_file, replacing
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

MANIFEST = "manifest.json"


def keep(folder: Path, build: Callable[[Path], None], work: Work, task: str, *, thorough: bool = False) -> Path:
    """Builds `folder` if it is missing or damaged, in one process at a time, and returns it.

    `build` fills an empty folder beside it, which is then moved into its place. A folder is complete if every file has
    the size and the time of change that it was written with; if the time differs, or with `thorough`, the file is
    hashed. Raises `Unkept` if it can't be written.
    """
    if intact(folder, work, thorough=thorough):
        return folder
    with keeping(), locked(folder, work, f"Waiting for another phier: {task}"):
        if intact(folder, work, thorough=thorough):
            return folder
        remove_leftovers(folder)
        _remove(folder)
        with replacing(folder) as part:
            part.mkdir()
            build(part)
            _seal(part, work, task)
    return folder


def evict(parent: Path, most: int, newest: Path, work: Work) -> None:
    """Removes the least recently used folders in `parent` until all together take at most `most` bytes.

    `newest` stays, and so does any folder that another process is writing or removing. One process at a time evicts, so
    that two do not remove too much. Raises OSError if the disk supports no locks.
    """
    with locked(parent, work, "Waiting for another phier: removing kept folders"):
        kept = {place_of(path) for path in parent.iterdir() if path.is_dir()}
        found = {folder: _size_and_time(folder) for folder in kept}
        total = sum(size for size, _ in found.values())
        for folder in sorted(kept, key=lambda folder: found[folder][1]):
            if total <= most:
                return
            if folder != newest and remove_kept(folder):
                total -= found[folder][0]


def remove_kept(place: Path) -> bool:
    """Removes a folder or file and what killed programs left beside it, unless another process holds its lock."""
    lock = lock_of(place)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return False
    try:
        remove_leftovers(place)
        if place.is_dir():
            shutil.rmtree(place, ignore_errors=True)
        else:
            place.unlink(missing_ok=True)
    finally:
        lock.release()
    return not place.exists()


def _size_and_time(folder: Path) -> tuple[int, float]:
    """Bytes in a folder and when it was last used; 0 and 0 if it is not there."""
    try:
        return sum(file.stat().st_size for file in folder.iterdir()), folder.stat().st_mtime
    except OSError:
        return 0, 0.0


def kept_or_temporary(place: Path, make: Callable[[Path], Path], work: Work) -> Path:
    """Calls `make(place)`; if the cache folder can't be written, calls it with a place in a temporary folder.

    It is for files that the program needs. A note names the temporary folder. Raises `Failure` if that can't be written
    either.
    """
    try:
        return make(place)
    except Unkept as problem:
        refused = problem
    try:
        made = make(_temporary() / place.name)
    except (Unkept, OSError) as problem:
        raise Failure(
            "No space for a copy",
            f"A copy of {place.name} can be written neither to {cache_folder()} ({refused.reason}) nor to "
            f"{tempfile.gettempdir()} ({_reason(problem)}).",
            "Free some space, or name other folders in PHIER_CACHE or TMPDIR.",
        ) from problem
    work.note(f"{refused.message} {place.name} is in {made.parent} until the program ends.")
    return made


@cache
def _temporary_folder() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="phier-", ignore_cleanup_errors=True)


def _temporary() -> Path:
    return Path(_temporary_folder().name)


def _reason(problem: Unkept | OSError) -> str:
    return problem.reason if isinstance(problem, Unkept) else problem.strerror or str(problem)


def intact(folder: Path, work: Work, *, thorough: bool = False) -> bool:
    """Are the folder's files those of its manifest?"""
    try:
        return _intact(folder, work, thorough)
    except OSError:
        return False  # missing, unreadable, or being removed by another program


def _intact(folder: Path, work: Work, thorough: bool) -> bool:
    try:
        manifest = json.loads((folder / MANIFEST).read_text("utf-8"))
        written = {str(name): (int(size), int(when), str(digest)) for name, (size, when, digest) in manifest.items()}
    except (ValueError, TypeError, AttributeError):
        return False  # cut short or overwritten
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
        with suppress(OSError):  # on a read-only disk it is hashed again next time
            _write_manifest(folder, {name: digest for name, (_, _, digest) in written.items()})
    return True


def _seal(folder: Path, work: Work, task: str) -> None:
    digests = {path.name: hash_file(path, work, task) for path in _files(folder)}
    _write_manifest(folder, digests)


def _write_manifest(folder: Path, digests: dict[str, str]) -> None:
    entries = {}
    for name, digest in sorted(digests.items()):
        found = (folder / name).stat()
        entries[name] = [found.st_size, found.st_mtime_ns, digest]
    replace_file(folder / MANIFEST, json.dumps(entries, indent=1))


def _remove(path: Path) -> None:
    """Removes a folder or a file, whichever it is, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.is_file() and path.name != MANIFEST)
