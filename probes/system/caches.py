"""The program's own caches: what each holds, how large it is, and how it is emptied.

Nothing is removed but what the program made: names and places must be those that it writes. All of it can be made or
downloaded again, and a model that is in use stays usable: its files are in memory.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from probes.system.cache_folder import lock_of
from probes.system.files import place_of
from probes.system.kept_folder import MANIFEST, remove_kept
from probes.system.user_folders import cache_folder

_HASH = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Cache:
    """One folder of the cache."""

    name: str
    """The folder's name."""
    about: str
    is_own: Callable[[Path], bool]
    """Did the program make this entry?"""
    locked: bool = False
    """Does a process that writes or reads an entry first take its lock?"""

    @property
    def folder(self) -> Path:
        return cache_folder() / self.name

    def entries(self) -> list[Path]:
        """The entries that the program made, and those that killed programs began. Empty if there is no folder."""
        try:
            found = {place_of(path) if self.locked else path for path in self.folder.iterdir()}
        except OSError:
            return []
        return sorted(path for path in found if self.is_own(path))

    def size(self) -> tuple[int, int]:
        """How many entries there are, and the bytes of all their files."""
        entries = self.entries()
        return len(entries), sum(map(_bytes, entries))


@dataclass(frozen=True, slots=True)
class Emptied:
    """What emptying a cache did."""

    cache: Cache
    removed: int
    bytes: int
    left: int
    """Entries that another process holds, or that the system did not let go."""


def _named(pattern: str) -> Callable[[Path], bool]:
    matches = re.compile(pattern).fullmatch
    return lambda path: matches(path.name) is not None


def _is_copy(path: Path) -> bool:
    """A folder that was written as a whole, with its manifest, beside a lock of its name."""
    return lock_file(path).exists() and (not path.exists() or (path / MANIFEST).is_file())


def lock_file(path: Path) -> Path:
    return Path(lock_of(path).lock_file)


CACHES = (
    Cache("demo", "the demo model as it was downloaded", _named(r"SmolLM2-135M-Instruct\.Q4_1\.gguf"), locked=True),
    Cache("models", "copies of GGUF and compressed models as safetensors", _is_copy, locked=True),
    Cache("pruned", "masks of prune settings", _named(_HASH), locked=True),
    Cache("calibration", "texts that models wrote for calibration", _named(_HASH), locked=True),
    Cache("noise", "noise floors", _named(rf"{_HASH}\.json")),
    Cache("repairs", "measured repairs", _named(rf"{_HASH}\.jsonl")),
    Cache("digests", "hashes of model files", _named(rf"[a-z0-9]+-{_HASH}")),
)


def empty_cache(cache: Cache) -> Emptied:
    """Removes every entry that no other process holds. Locks stay: they take no space, and others may wait for them."""
    removed = freed = left = 0
    for entry in cache.entries():
        size = _bytes(entry)
        if _remove(entry, cache.locked):
            removed, freed = removed + 1, freed + size
        else:
            left += 1
    return Emptied(cache, removed, freed, left)


def _remove(entry: Path, locked: bool) -> bool:
    with suppress(OSError, NotImplementedError, Timeout):
        if locked:
            return remove_kept(entry)
        entry.unlink(missing_ok=True)
        return True
    return False


def _bytes(path: Path) -> int:
    """The bytes of a file, or of all files in a folder; 0 for what is gone."""
    try:
        return sum(_bytes(one) for one in path.iterdir()) if path.is_dir() else path.stat().st_size
    except OSError:
        return 0
