"""Whatever fails in a stage of loading becomes a sentence with the stage, the file and the original message."""

from __future__ import annotations

import pytest
import torch

from probes.models.error_boundary import error_boundary
from probes.schema.errors import BadInput, Cancelled, Failure


class Panic(BaseException):
    """As libraries written in Rust raise."""


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (ValueError("Validation error for 'x':\n    TypeError: expected int"), "'x': TypeError: expected int."),
        (KeyError("rope_type"), "KeyError: 'rope_type'."),
        (ZeroDivisionError("integer modulo by zero"), "ZeroDivisionError: integer modulo by zero."),
        (RecursionError("maximum recursion depth exceeded"), "maximum recursion depth exceeded."),
        (EOFError(), "EOFError."),
        (SystemExit("it ran"), "SystemExit: it ran."),
        (Panic("no such token"), "no such token."),
        (ValueError("\x1b[31mred\x1b[0m \x1b]0;title\x07"), "red ␛]0;title␇."),
        (ValueError("wrong " + "x" * 5000 + "\nand why!"), "and why!"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_anything_becomes_a_sentence_that_keeps_the_line_that_says_what_is_wrong(
    problem: BaseException, message: str
) -> None:
    with pytest.raises(BadInput) as caught, error_boundary("Not read", "model.bin can't be read", "Download it again."):
        raise problem
    assert caught.value.title == "Not read"
    assert caught.value.message.startswith("model.bin can't be read: ")
    assert caught.value.message.endswith(message)
    assert len(caught.value.message) < 700
    assert caught.value.hint == "Download it again."
    assert caught.value.__cause__ is problem


@pytest.mark.parametrize(
    "problem", [MemoryError(), torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("can't allocate memory")]
)
def test_memory_that_runs_out_is_a_failure_and_no_bad_input(problem: Exception) -> None:
    with (
        pytest.raises(Failure, match=r"^Out of memory: model.bin can't be read: .*--dtype"),
        error_boundary("T", "model.bin can't be read"),
    ):
        raise problem
    with (
        pytest.raises(Failure, match="needs 5 GB"),
        error_boundary("T", "f", memory=lambda: Failure("Out", "needs 5 GB")),
    ):
        raise problem


@pytest.mark.parametrize("problem", [BadInput("A", "b"), Failure("A", "b"), Cancelled("It"), KeyboardInterrupt()])
def test_errors_for_people_and_the_wish_to_stop_pass_unchanged(problem: BaseException) -> None:
    with pytest.raises(type(problem)) as caught, error_boundary("T", "f"):
        raise problem
    assert caught.value is problem
