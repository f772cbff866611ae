"""Turns any error of a library that opens a model into a sentence that a person can use.

A model's files may hold anything, and transformers, tokenizers, safetensors and torch may raise anything on them. A
list of their exceptions is never complete.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from probes.schema.errors import BadInput, Failure, PhierError
from probes.schema.foreign_text import said
from probes.system.memory import ran_out

SMALLER = "Choose a smaller --dtype, such as bfloat16, or spread the model with --device-map auto."


@contextmanager
def error_boundary(
    title: str, failed: str, hint: str = "", *, memory: Callable[[], PhierError] | None = None
) -> Iterator[None]:
    """Turns any error in its block into `BadInput`, or into `Failure` if memory ran out. A `PhierError` passes through.

    `failed` says what could not be done with which file; the original message follows it. `memory` makes the error if
    memory ran out, for callers that know how much was needed.
    """
    try:
        yield
    except (PhierError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:  # panics of libraries written in Rust are not an Exception
        message = said(problem)
        if _is_memory(problem, message):
            message = ran_out(problem)
            raise (memory() if memory else Failure("Out of memory", f"{failed}: {message}", SMALLER)) from problem
        raise BadInput(title, f"{failed}: {message}", hint) from problem


def _is_memory(problem: BaseException, message: str) -> bool:
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and "memory" in message.lower()
