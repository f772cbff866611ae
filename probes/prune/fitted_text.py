"""The file that `restore:SHARE@file=FILE` reads: the text on which the weights to restore are chosen. Free of torch.

It is a small JSON object, so that a setting stays text: whoever has the file and the dense model gets the same weights.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Annotated

import msgspec
from msgspec import Meta

from probes.models.spec_check import nearby
from probes.schema.bounds import HUGE, MOST, Natural, Place
from probes.schema.errors import BadInput
from probes.system.files import replace_file
from probes.system.user_folders import expanded

FORMAT = 1
_HINT = "Name a file that phier repair --level weight wrote."


@dataclass(frozen=True, slots=True)
class FittedText:
    """A context, and how many of its last positions the KL is the mean of."""

    ids: Annotated[tuple[Natural, ...], Meta(min_length=1, max_length=2**20)]
    """The tokens of the context."""
    positions: Place
    """The distributions after each of so many last tokens are compared."""
    temperature: Annotated[float, Meta(gt=0, le=HUGE)]
    """Of the compared distributions."""
    vocabulary: Annotated[int, Meta(ge=1, le=MOST)]
    """The ids below it are compared."""
    model: str
    """The fingerprint of the dense model's weights; "" if it has none."""
    name: str = ""
    """The dense model's name, for people."""
    setting: str = ""
    """The setting that was there, for people."""
    text: str = ""
    """The last tokens of the context as text, for people."""
    format: Annotated[int, Meta(ge=1, le=FORMAT)] = FORMAT

    def write(self, path: str) -> None:
        """Writes the file. Raises `BadInput` if it can't be written."""
        lines = [f"  {_json(key)}: {_json(value)}" for key, value in asdict(self).items()]
        try:
            replace_file(expanded(path), "{\n" + ",\n".join(lines) + "\n}\n")
        except OSError as problem:
            reason = problem.strerror or str(problem)
            raise BadInput("Restore", f"{path} can't be written: {reason}.", "Name another file with --out.") from None


def read_fitted(path: str) -> FittedText:
    """The file's content. Raises `BadInput` if it can't be read, or is no such file."""
    try:
        found = msgspec.json.decode(expanded(path).read_bytes(), type=FittedText)
    except OSError as problem:
        reason = "it is a folder" if os.path.isdir(expanded(path)) else (problem.strerror or str(problem)).lower()
        raise BadInput("Restore", f"{path} can't be read: {reason}.", f"{nearby(expanded(path))}{_HINT}") from None
    except (msgspec.DecodeError, RecursionError) as problem:
        raise BadInput("Restore", f"{path} names no text to restore weights for: {problem}.", _HINT) from None
    if found.positions > len(found.ids):
        message = f"{path} compares {found.positions} positions of {len(found.ids)} tokens."
        raise BadInput("Restore", message, _HINT)
    return found


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
