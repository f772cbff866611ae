"""Keeps the results of calibrated pruning in the cache folder, so that later starts need not calibrate again.

A kept state is named by a hash of everything that it depends on: the dense weights and configuration, the setting, its
tables, the calibration text, and the version of the methods. It holds mask bits, and the nonzero weights of corrected
matrices.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from probes.models.fingerprint import configuration
from probes.models.loaded import Loaded, with_fingerprint
from probes.prune.allocation import table_text
from probes.schema.header import Calibration
from probes.schema.part import Part
from probes.schema.prune_setting import Setting
from probes.system.cache_folder import Unkept
from probes.system.kept_folder import evict, intact, keep
from probes.system.progress import Work
from probes.system.user_folders import cache_folder
from probes.twin.twin import Twin
from probes.twin.twin_state import MatrixChange, TwinState, count_kept, unpacked

VERSION = 5
"""Increased when a change of the program changes a method's result."""
MOST_BYTES = 4 << 30
"""Bytes that all kept prunings may take together; the least recently used are removed first."""
_FILE = "pruned.safetensors"


def folder_of(dense: Loaded, setting: Setting, calibration: Calibration, seed: int) -> Path | None:
    """The folder where this pruning is kept; None if the dense weights have no fingerprint."""
    mark = with_fingerprint(dense).info.fingerprint
    if not mark:
        return None
    tables = [table_text(part.file) for part in setting.parts if part.file]
    depends = [VERSION, mark, configuration(dense.model), str(setting), tables, calibration.sha256, seed]
    return cache_folder() / "pruned" / hashlib.sha256(json.dumps(depends).encode()).hexdigest()


def load_pruning(place: Path, twin: Twin, work: Work) -> tuple[TwinState, list[str]] | None:
    """The kept state and its notes; None if nothing is kept there, or it is damaged."""
    if not intact(place, work):
        return None
    try:
        with safe_open(place / _FILE, framework="pt") as file:
            facts = json.loads(file.metadata()["facts"])
            changes = {name: _change(twin, name, file.get_tensor, kinds) for name, kinds in facts["matrices"].items()}
    except (OSError, SafetensorError, KeyError, ValueError, TypeError):
        return None  # not written by this version: the setting is carried out again, and the file replaced
    with suppress(OSError):  # on a read-only disk nothing is evicted either
        place.touch()
    notes = [str(note) for note in facts["notes"]]
    return TwinState(changes, frozenset(map(Part.parse, facts["dropped"]))), [
        f"The masks were kept from an earlier start, which took {facts['seconds']:.1f} s.",
        *notes,
    ]


def store_pruning(place: Path, twin: Twin, notes: list[str], seconds: float, work: Work) -> None:
    """Keeps the twin's present state, and removes the least recently used ones if all together are too large.

    A state larger than the limit is not kept. That is noted, and so is any failure of the disk.
    """
    needed = _bytes(twin)
    if needed > MOST_BYTES:
        work.note(
            f"The masks and weights of this setting take {needed / 1e9:.1f} GB and were not kept for later starts: "
            f"the limit for all settings together is {MOST_BYTES / 1e9:.1f} GB."
        )
        return
    tensors: dict[str, Tensor] = {}
    matrices: dict[str, list[str]] = {}
    for name, change in twin.state.changes.items():
        found = {"kept": torch.from_numpy(change.kept)}
        if change.feature_mask is not None:
            found["whole"] = torch.from_numpy(change.feature_mask)
        if change.weight is not None:
            weight = twin.weight(name)
            found["left"] = weight[weight != 0].cpu()
        matrices[name] = list(found)
        tensors |= {f"{name}|{kind}": tensor for kind, tensor in found.items()}
    facts = {"matrices": matrices, "dropped": sorted(map(str, twin.state.dropped)), "notes": notes, "seconds": seconds}

    def build(folder: Path) -> None:
        save_file(tensors, folder / _FILE, metadata={"facts": json.dumps(facts)})

    try:
        keep(place, build, work, "Keeping the masks")
    except Unkept as problem:
        work.note(problem.message)
        return
    try:
        evict(place.parent, MOST_BYTES, place, work)
    except OSError as problem:
        work.note(f"Older kept masks could not be removed from {place.parent}: {problem.strerror or problem}.")


def _bytes(twin: Twin) -> int:
    """The size of the twin's state on disk: mask bits, and the nonzero weights of corrected matrices."""
    total = 0
    for change in twin.state.changes.values():
        total += change.kept.nbytes + (0 if change.feature_mask is None else change.feature_mask.nbytes)
        if change.weight is not None:
            total += count_kept(change.kept, change.weight.numel()) * change.weight.element_size()
    return total


def _change(twin: Twin, name: str, tensor: Callable[[str], Tensor], kinds: list[str]) -> MatrixChange:
    found = {kind: tensor(f"{name}|{kind}") for kind in kinds}
    dense = twin.dense_weight(name)
    bits = found["kept"].numpy()
    if bits.dtype != np.uint8 or bits.size != -(-dense.numel() // 8):
        raise ValueError(f"{name} has another shape")
    weight = None
    if "left" in found:
        here = unpacked(bits, dense.shape).to(dense.device)
        filled = torch.zeros_like(dense, memory_format=torch.contiguous_format)
        filled[here] = found["left"].to(dense)
        weight = twin.stored(name, filled)
    whole = found["whole"].numpy() if "whole" in found else None
    return MatrixChange(bits, weight, whole)
