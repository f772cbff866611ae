"""What a worker on another machine states before it is given a cell, and why it is refused.

Results of different versions, or of different dense models, are not mixed.
"""

from __future__ import annotations

from dataclasses import dataclass

from probes.schema.errors import BadInput, Failure, PhierError
from probes.schema.foreign_text import visible
from probes.schema.sweep import CellError
from probes.sweep.jobs import DenseFacts
from probes.sweep.versions import check_versions

_LONG = 60
"""Characters of a value that is shown."""


@dataclass(frozen=True, slots=True)
class Statement:
    """The versions of a worker, and its dense model."""

    versions: dict[str, str]
    dense: DenseFacts | None = None
    """None until it is asked for, and if it can't be loaded."""
    error: CellError | None = None
    """Why it can't be loaded."""
    bad_input: bool = False
    """Is the person's input the reason?"""


def check_statement(stated: Statement, worker: str, dense: DenseFacts | None, first: str) -> None:
    """Checks what a worker states against this program's versions, and against the dense model of the `first` worker.

    Raises `BadInput` if they differ, and what loading the model raised there.
    """
    check_versions(stated.versions, worker)
    if stated.error is not None:
        kind: type[PhierError] = BadInput if stated.bad_input else Failure
        message = f"The worker {worker} can't load the dense model. {stated.error.message}"
        raise kind(stated.error.title, message, stated.error.hint)
    if dense is not None and stated.dense is not None:
        _check_same(stated.dense, worker, dense, first)


def _check_same(stated: DenseFacts, worker: str, dense: DenseFacts, first: str) -> None:
    named = {
        "device": "device",
        "dtype": "dtype",
        "fingerprint": "weights",
        "configuration": "configuration",
        "parameters": "number of parameters",
    }
    for field, what in named.items():
        ours, theirs = getattr(dense, field), getattr(stated, field)
        if ours != theirs:
            raise BadInput(
                "Other dense model",
                f"The dense model of the worker {worker} has another {what} than that of {first}: "
                f"{_value(theirs)}, not {_value(ours)}. Results of different models are not mixed.",
                "Give every worker the same files and the same kind of device (--device, --dtype), or stop that one.",
            )


def _value(value: object) -> str:
    return visible(str(value), _LONG) or "none"
