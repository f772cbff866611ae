"""`phier.json`: what a folder that was saved here says of how it was made. Free of torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from probes.schema.errors import BadInput
from probes.schema.foreign_text import said, visible
from probes.schema.header import Calibration, ModelInfo

FILE = "phier.json"
_LONGEST = 20_000
"""Characters kept of a text in such a file."""
PROVENANCE_FORMAT = 1
"""The number of the form that is written; a reader passes over keys it does not know."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a pruned folder was made, from what, and what its weights were when it was written."""

    setting: str
    dense: ModelInfo
    """The model it was made of, with the fingerprint of its weights."""
    calibration: Calibration | None
    """The text the setting was calibrated on; None where it took none."""
    mask_hash: str
    """SHA-256 over masks and drops, hex."""
    dropped: tuple[str, ...]
    """Sublayers and blocks of the dense model that no longer run."""
    zeroed: int
    targeted: int
    fingerprint: str
    """SHA-256 over the names, shapes, dtypes and bytes of the folder's weights, hex."""
    versions: dict[str, str] = field(default_factory=dict)
    written: str = ""
    """ISO 8601, UTC."""
    format: int = PROVENANCE_FORMAT


def write_provenance(folder: Path, provenance: Provenance) -> None:
    """Writes the folder's `phier.json`."""
    (folder / FILE).write_text(json.dumps(asdict(provenance), indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_provenance(folder: Path) -> Provenance | None:
    """What the folder says of itself; None where it was not saved here. Raises `BadInput` where it can't be read."""
    file = folder / FILE
    try:
        return msgspec.convert(_visible(msgspec.json.decode(file.read_bytes())), Provenance)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as problem:
        unread = f"{visible(str(file))} can't be read: {said(problem)}"
        raise BadInput("Provenance", unread, "Remove it to look at the weights alone.") from problem


def _visible(node: Any) -> Any:
    """The same data with all text made visible: a folder's file is anybody's."""
    if isinstance(node, str):
        return visible(node, _LONGEST)
    if isinstance(node, dict):
        return {visible(key, _LONGEST): _visible(value) for key, value in node.items()}
    return [_visible(item) for item in node] if isinstance(node, list) else node
