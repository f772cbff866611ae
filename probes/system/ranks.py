"""The processes that torchrun starts, which compute one model together. Free of torch.

All of them run the same program on the same input, so that they take part in every pass. Only the first one prints and
writes; the others work on copies of the files that it goes on with.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from probes.schema.errors import BadInput

_STARTED = "TORCHELASTIC_RUN_ID"
"""A variable that torchrun sets for its processes."""


def ranks() -> int:
    """How many processes compute together; 1 without torchrun."""
    return int(os.environ.get("WORLD_SIZE", "1")) if _STARTED in os.environ else 1


def rank() -> int:
    """The number of this process among them, from 0."""
    return int(os.environ.get("RANK", "0")) if ranks() > 1 else 0


def refuse_ranks(what: str) -> None:
    """Raises `BadInput` if torchrun started several processes; `what` is the subject of the sentence."""
    if ranks() > 1:
        raise BadInput(
            "Sharded model",
            f"{what} can't be done with a model that is sharded over {ranks()} processes.",
            "Start it without torchrun; --device-map spreads a model in one process.",
        )


def own_file(path: Path | None, *, new: bool = False) -> Path | None:
    """The path that this process writes: the file itself in the first process, in the others a copy that is deleted at
    the end. A `new` file is not copied: the first process may have begun it already."""
    if path is None or rank() == 0:
        return path
    folder = tempfile.TemporaryDirectory(prefix="phier-rank-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    copy = Path(folder.name) / path.name
    interrupted = f"{path.name}.part"  # the sums that an interrupted run leaves beside its results
    for name in () if new else (path.name, interrupted):
        if (there := path.with_name(name)).is_file():
            shutil.copyfile(there, copy.with_name(name))
    return copy
