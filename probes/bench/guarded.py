"""A check that fails is a result: its error is kept, and the others go on."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch


class NotHere(Exception):
    """A check can't be done on this machine."""


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One check, carried out."""

    name: str
    model: str
    status: Literal["passed", "failed", "skipped"]
    value: float | None
    """What was measured, most often the largest difference; None if nothing was."""
    limit: float | None
    """The largest value that passes."""
    seconds: float
    words: str = ""
    """The error, why it was skipped, or what the value is."""


def guarded(
    name: str, model: str, check: Callable[[], tuple[float, float, str]], left: Callable[[], float] = lambda: 1.0
) -> CheckResult:
    """Runs a check, which gives a value, its limit, and words about it. Any error fails it and is kept.

    It is skipped if no time is `left`, in seconds.
    """
    begun = time.perf_counter()

    def result(
        status: Literal["passed", "failed", "skipped"], value: float | None, limit: float | None, words: str
    ) -> CheckResult:
        return CheckResult(name, model, status, value, limit, round(time.perf_counter() - begun, 3), words)

    if left() <= 0:
        return result("skipped", None, None, "no time was left")
    try:
        value, limit, words = check()
    except NotHere as why:
        return result("skipped", None, None, str(why))
    except Exception as problem:  # noqa: BLE001 - whatever fails is reported, and the other checks go on
        return result("failed", None, None, error_words(problem))
    return result("passed" if value <= limit else "failed", value, limit, words)


def error_words(problem: BaseException) -> str:
    """The kind and the first line of an error. Frees what its traceback holds, so that a GPU's memory comes back."""
    traceback.clear_frames(problem.__traceback__)
    lines = str(problem).splitlines()
    return f"{type(problem).__name__}: {lines[0] if lines else ''}"[:500]


def free_memory() -> None:
    """Returns the memory of what nobody uses any more to the GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
