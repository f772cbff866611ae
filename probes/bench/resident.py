"""What a process holds in memory: at any moment, and once all that can be freed is."""

from __future__ import annotations

import gc

import psutil

from probes.system.memory import release


def resident() -> int:
    """Bytes in memory that no file backs, with what the C library keeps for later.

    Pages of mapped files, the dense weights' too, come and go as the system likes.
    """
    info = psutil.Process().memory_info()
    return int(info.rss - getattr(info, "shared", 0))


def kept() -> int:
    """Bytes that something still holds, in memory or swapped out: `resident` once freed memory is handed back.

    How much the C library keeps of what was freed depends on where in its heap that lay: with temporary vectors of a
    large vocabulary, by megabytes from one process to the next.
    """
    gc.collect()
    release()
    full = psutil.Process().memory_full_info()
    return int(full.rss - getattr(full, "shared", 0) + getattr(full, "swap", 0))
