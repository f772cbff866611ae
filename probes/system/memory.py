"""Returns freed memory to the system, and frees large objects in the background."""

from __future__ import annotations

import ctypes
import sys
import threading
import traceback
from collections.abc import Callable
from functools import cache
from pathlib import Path

from probes.schema.foreign_text import said


def release() -> None:
    """Makes the C library return its empty pages to the system; without glibc nothing happens.

    glibc keeps memory that is freed between two other tensors, and later requests rarely fit into it. While a model was
    pruned matrix by matrix, this memory grew to half the size of its weights.
    """
    if (trim := _trim()) is not None:
        trim(0)


def peak_bytes() -> int:
    """The largest memory of this process so far; 0 where the system does not say it."""
    try:
        # Not from getrusage, which on Linux counts the program that started this one, too.
        lines = Path("/proc/self/status").read_text("ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def ran_out(problem: BaseException) -> str:
    """The message of an out-of-memory error, without torch's advice for programmers.

    Also frees the variables of the failed work, which the error's traceback would keep alive.
    """
    traceback.clear_frames(problem.__traceback__)
    message = said(problem)
    return message.partition(" Including non-PyTorch")[0]


def free_in_background(things: list[object]) -> None:
    """Empties a list on another thread, because freeing the pages of large tensors takes long."""
    threading.Thread(target=things.clear, name="freeing memory").start()


@cache
def _trim() -> Callable[[int], int] | None:
    if not sys.platform.startswith("linux"):
        return None
    found: Callable[[int], int] | None = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return found
