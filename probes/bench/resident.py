"""Measures the memory of this process, at any moment or after all freed memory is returned."""

from __future__ import annotations

import contextlib
import gc

import psutil

from probes.system.memory import release


def resident() -> int:
    """Bytes of resident memory that no file backs, including freed memory that the C library keeps.

    Pages of mapped files, such as the dense weights, are not counted: the system loads and evicts them at any time.
    """
    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))


def kept() -> int:
    """Bytes that are in use, in memory or swapped out: `resident` after freed memory is returned to the system.

    The freed memory that the C library keeps depends on its place in the heap: with temporary vectors of a large
    vocabulary, it differs by megabytes from one process to the next.
    """
    gc.collect()
    release()
    full = psutil.Process().memory_full_info()
    return int(full.rss - getattr(full, "shared", 0) + getattr(full, "swap", 0))


def held_by_all() -> int:
    """Bytes that this process and those it has started hold together, after freed memory is returned here.

    A page that several of them hold is counted once, and mapped files, such as the dense weights, as far as they are
    in memory. 0 if the system does not say how pages are shared.
    """
    gc.collect()
    release()
    here = psutil.Process()
    total = 0
    for process in (here, *here.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            total += int(getattr(process.memory_full_info(), "pss", 0))
    return total
