"""`phier.json`: what a folder that was saved here says of how it was made. Free of torch."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from probes.errors import BadInput
from probes.header import Calibration, ModelInfo

FILE = "phier.json"
FORMAT = 1
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
    format: int = FORMAT


def write(folder: Path, provenance: Provenance) -> None:
    """Writes the folder's `phier.json`."""
    (folder / FILE).write_text(json.dumps(asdict(provenance), indent=2, ensure_ascii=False) + "\n", "utf-8")


def read(folder: Path) -> Provenance | None:
    """What the folder says of itself; None where it was not saved here. Raises `BadInput` where it can't be read."""
    file = folder / FILE
    try:
        return msgspec.json.decode(file.read_bytes(), type=Provenance)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError) as problem:
        raise BadInput(
            "Provenance", f"{file} can't be read: {problem}", "Remove it to look at the weights alone."
        ) from problem
