"""Stages of opening a model, each with one boundary: whatever fails inside becomes a sentence that a person can use.

A model's files may be anything, and transformers, tokenizers, safetensors and torch raise anything on them: a list of
what they raise is never complete.
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
    """Turns whatever is raised inside into `BadInput`, or `Failure` if memory ran out; errors meant for a person pass.

    `failed` says what could not be done with which file, and the original message follows it. `memory` makes the
    error if memory ran out, where more is known of how much was needed.
    """
    try:
        yield
    except (PhierError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as problem:  # libraries written in Rust raise panics that are no Exception
        message = said(problem)
        if _is_memory(problem, message):
            message = ran_out(problem)
            raise (memory() if memory else Failure("Out of memory", f"{failed}: {message}", SMALLER)) from problem
        raise BadInput(title, f"{failed}: {message}", hint) from problem


def _is_memory(problem: BaseException, message: str) -> bool:
    if isinstance(problem, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(problem, RuntimeError) and "memory" in message.lower()
