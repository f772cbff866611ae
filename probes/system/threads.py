"""Sets how many threads a CPU computes with: the requested number, or the fastest when a model is loaded.

A step is hundreds of short operations, and at the end of each all threads wait for the slowest one. While other
programs use the processor, the default of one thread for each core can be several times slower than one thread.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from statistics import median
from typing import TypeVar

import torch
from torch import Tensor
from transformers import PreTrainedModel

from probes.schema.counting import number_of

R = TypeVar("R")
GAIN = 1.25
"""The default is kept unless another number is this many times faster, because the last digits of figures depend on
it."""
_ROUNDS = 7
_LEAST_ROUNDS = 3
"""Enough if the default is not slow, which is the usual case."""
_WEIGHTS = 16_000_000
"""The most weights that one round multiplies by, with each number: some hundredths of a second."""
_SPLIT = 32_768
"""torch multiplies smaller matrices with one thread anyway."""
_number_of_later_threads = threading.Lock()
"""torch has one number for all threads that have not computed yet, and setting a thread's own number sets that too."""
_settled: dict[str, str] = {}
"""The sentence about the measurement, made once for the process: equal runs must use the same number."""


def use_threads(model: PreTrainedModel, asked: int = 0) -> str:
    """Sets the number of threads for this thread and those that it starts: `asked`, or the fastest one if that is 0.

    Returns a sentence if the number is not torch's default, otherwise "". The variable OMP_NUM_THREADS counts as a
    request. Nothing is measured on other devices, or if the matrices are too small for several threads.
    """
    default = torch.get_num_threads()
    if asked:
        torch.set_num_threads(asked)
        return ""
    if _settled:
        return _settled["said"]
    weights = _matrices(model)
    if model.device.type != "cpu" or default == 1 or not weights or os.environ.get("OMP_NUM_THREADS"):
        return ""
    seconds = median_seconds(
        sorted({1, max(1, default // 2), default}),
        lambda: _multiply(weights),
        lambda found: fastest(found, default) == default,
    )
    chosen = fastest(seconds, default)
    torch.set_num_threads(chosen)
    _settled["said"] = (
        ""
        if chosen == default
        else f"The models compute with {number_of(chosen, 'thread')}, as {default} were "
        f"{seconds[default] / seconds[chosen]:.1f} times slower when they were loaded. "
        f"--threads {default} forces {default}."
    )
    return _settled["said"]


def median_seconds(
    numbers: Sequence[int], work: Callable[[], object], enough: Callable[[dict[int, float]], bool]
) -> dict[int, float]:
    """The median seconds that the work takes with each number of threads, which are tried in turn: in three rounds if
    those are `enough`, otherwise in seven."""
    seconds: dict[int, list[float]] = {number: [] for number in numbers}
    before = torch.get_num_threads()
    try:
        for done in range(1, _ROUNDS + 1):
            for number in numbers:
                torch.set_num_threads(number)
                begun = time.perf_counter()
                work()
                seconds[number].append(time.perf_counter() - begun)
            if done == _LEAST_ROUNDS and enough(_medians(seconds)):
                break
    finally:
        torch.set_num_threads(before)
    return _medians(seconds)


def _medians(seconds: dict[int, list[float]]) -> dict[int, float]:
    return {number: median(taken) for number, taken in seconds.items()}


def on_threads(number: int, work: Callable[[], R]) -> R:
    """Runs the work on a thread of its own, which computes with so many threads, and returns its result.

    All other threads keep their number, also those that start meanwhile.
    """
    with computing_thread(number, "other threads") as thread:
        return thread.submit(work).result()


def computing_thread(number: int, name: str) -> ThreadPoolExecutor:
    """One thread that computes with so many threads, and does what is submitted in order. No other thread's number
    changes."""
    return _computing_threads(1, number, name)


def side_by_side(tasks: Sequence[Callable[[], R]]) -> list[R]:
    """Runs tasks on as many threads as this one computes with, and returns their results in order.

    Each task computes with one thread. Many short operations are faster so than one after another on all threads, which
    wait for one another at the end of each. If this thread computes with one, the tasks run here.
    """
    number = torch.get_num_threads()
    if number == 1:
        return [task() for task in tasks]
    return list(_single_threads(number).map(lambda task: task(), tasks))


@cache
def _single_threads(number: int) -> ThreadPoolExecutor:
    """Threads that compute with one thread each. They are kept, as are the buffers that libraries keep for each."""
    return _computing_threads(number, 1, "side by side")


def _computing_threads(count: int, number: int, name: str) -> ThreadPoolExecutor:
    """`count` threads that compute with `number` threads each. All of them are started here, so that the number for
    later threads is wrong for no longer than that."""
    all_there = threading.Barrier(count)

    def begin() -> None:
        torch.get_num_threads()  # gives a new thread the number for later threads, which would undo the next line
        torch.set_num_threads(number)
        all_there.wait()

    with _number_of_later_threads:
        own = torch.get_num_threads()
        pool = ThreadPoolExecutor(count, name)
        try:
            for begun in [pool.submit(begin) for _ in range(count)]:
                begun.result()
        finally:
            torch.set_num_threads(own)
    return pool


def fastest(seconds: dict[int, float], default: int) -> int:
    """The number that took the least time, or the default if it is not much slower."""
    best = min(seconds, key=lambda number: seconds[number])
    return best if seconds[default] > GAIN * seconds[best] else default


def _matrices(model: PreTrainedModel) -> list[Tensor]:
    """Some of the matrices that a step multiplies by, in the order of the model."""
    embedded = {id(parameter) for parameter in model.get_input_embeddings().parameters()}
    found: list[Tensor] = []
    room = _WEIGHTS
    for parameter in model.parameters():
        usable = parameter.dim() == 2 and parameter.is_floating_point() and parameter.device.type == "cpu"
        if usable and id(parameter) not in embedded and _SPLIT <= parameter.numel() <= room:
            found.append(parameter)
            room -= parameter.numel()
    return found


@torch.inference_mode()
def _multiply(weights: Sequence[Tensor]) -> None:
    for weight in weights:
        torch.nn.functional.linear(torch.ones(1, weight.shape[1], dtype=weight.dtype), weight)
