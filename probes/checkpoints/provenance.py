"""Reads and writes `phier.json`, the record of how a saved folder was made. Free of torch."""

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
"""How many characters of a text in the file are kept."""
PROVENANCE_FORMAT = 1
"""The number of the file format; a reader ignores unknown keys."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """How a pruned folder was made: the setting, the dense model, and the weights that were written."""

    setting: str
    dense: ModelInfo
    """The model that was pruned, with the fingerprint of its weights."""
    calibration: Calibration | None
    """The calibration text; None if the setting needed none."""
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
    """The folder's provenance; None if it was not saved by this program. Raises `BadInput` if it can't be read."""
    file = folder / FILE
    try:
        return msgspec.convert(_visible(msgspec.json.decode(file.read_bytes())), Provenance)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as problem:
        unread = f"{visible(str(file))} can't be read: {said(problem)}"
        raise BadInput("Provenance", unread, "Delete it to inspect the weights alone.") from problem


def _visible(node: Any) -> Any:
    """The same data with all text made safe to show: anybody can have written the file."""
    if isinstance(node, str):
        return visible(node, _LONGEST)
    if isinstance(node, dict):
        return {visible(key, _LONGEST): _visible(value) for key, value in node.items()}
    return [_visible(item) for item in node] if isinstance(node, list) else node
