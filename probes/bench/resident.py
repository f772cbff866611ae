"""Measures the memory of this process: at any moment, and after everything that can be freed is freed."""

from __future__ import annotations

import gc

import psutil

from probes.system.memory import release


def resident() -> int:
    """Bytes in memory that no file backs, with those that the C library keeps for later.

    Pages of mapped files, the dense weights' too, come and go as the system likes.
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
