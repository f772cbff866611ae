"""Unpacks folders in compressed-tensors' former sparse formats, which its present releases no longer read.

A matrix is stored as `bitmask`, `compressed` and `shape`. `bitmask` has one bit a weight along each row, lowest bit
first, and each row is padded to whole bytes. `compressed` holds the values whose bit is set, in order. The
"sparse-bitmask" format adds `row_offsets`, the place of each row's first value; "sparse-24-bitmask" stores two values
of every four and needs no offsets.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from probes.models.locate import read_config, weight_files
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.system.cache_folder import signature_of
from probes.system.kept_folder import keep, kept_or_temporary
from probes.system.progress import Work
from probes.system.user_folders import cache_folder

FORMATS = ("sparse-bitmask", "sparse-24-bitmask")
_PARTS = ("bitmask", "compressed", "shape", "row_offsets")
_NAMES = ("quantization_config", "compression_config")
"""The keys of a configuration that hold its format; the second is the former name."""


def unpacked_folder(folder: Path, name: str, work: Work) -> Path:
    """The folder itself, or if it is in a former sparse format, a cached copy with plain matrices.

    Raises `BadInput` if a packed matrix is incomplete.
    """
    config = read_config(folder)
    if sparse_format(config) not in FORMATS:
        return folder
    files = weight_files(folder)
    task = f"Unpacking {name} (once)"

    def build(part: Path) -> None:
        for path in sorted(folder.iterdir()):
            if path.is_file() and path not in files and not path.name.endswith(".safetensors.index.json"):
                shutil.copyfile(path, part / path.name)
        (part / "config.json").write_text(json.dumps(_without_sparsity(config), indent=2), "utf-8")
        _unpack_files(files, part, name, work, task)

    place = cache_folder() / "models" / f"{name}-unpacked-{signature_of([folder / 'config.json', *files])[:16]}"
    return kept_or_temporary(place, lambda there: keep(there, build, work, task), work)


def sparse_format(config: Mapping[str, object]) -> str:
    """The sparse format that a configuration names; "" if it names none."""
    for found in (*(config.get(key) for key in _NAMES), config):
        sparsity = found.get("sparsity_config") if isinstance(found, Mapping) else None
        if isinstance(sparsity, Mapping) and sparsity.get("format"):
            return str(sparsity["format"])
    return ""


def unpack(bitmask: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """The matrix of this shape with the values where their bits are set, and zeros elsewhere. Raises ValueError."""
    rows, columns = int(np.prod(shape[:-1])), shape[-1]
    if bitmask.numel() != rows * -(-columns // 8):
        raise ValueError(f"{bitmask.numel()} bytes of bits are not those of {rows} × {columns} weights")
    bits = bitmask.view(torch.uint8).reshape(rows, -1).numpy()
    here = torch.from_numpy(np.unpackbits(bits, axis=1, count=columns, bitorder="little").view(bool))
    if int(here.sum()) != values.numel():
        raise ValueError(f"{values.numel()} values for {int(here.sum())} bits")
    # torch can't index some types (float8) with a mask, so their bytes are moved as integers.
    plain = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}[values.element_size()]
    matrix = torch.zeros(rows, columns, dtype=plain)
    matrix[here] = values.reshape(-1).view(plain)
    return matrix.view(values.dtype).reshape(shape)


def _unpack_files(files: tuple[Path, ...], part: Path, name: str, work: Work, task: str) -> None:
    """Writes each file's tensors to the new folder, with packed ones as plain matrices."""
    where: dict[str, str] = {}
    for file, tensors in _unpacked_files(files, name, work, task):
        save_file(tensors, part / file.name, metadata={"format": "pt"})
        where |= dict.fromkeys(tensors, file.name)
    if len(files) > 1:
        index = {"metadata": {}, "weight_map": where}
        (part / "model.safetensors.index.json").write_text(json.dumps(index), "utf-8")


def _unpacked_files(
    files: tuple[Path, ...], name: str, work: Work, task: str
) -> Iterator[tuple[Path, dict[str, Tensor]]]:
    """Every file's tensors. A matrix is put in the file that holds its bits; its other parts may be in other files."""
    try:
        with ExitStack() as stack:
            opened = {file: stack.enter_context(safe_open(file, framework="pt")) for file in files}
            holders = {key: file for file, packed in opened.items() for key in list(packed.keys())}
            bases = [key.removesuffix(".bitmask") for key in holders if key.endswith(".bitmask")]
            parts = {f"{base}.{kind}" for base in bases for kind in _PARTS}
            done = 0
            for file in files:
                tensors: dict[str, Tensor] = {}
                for key in sorted(key for key, holder in holders.items() if holder == file):
                    if key not in parts:
                        tensors[key] = opened[file].get_tensor(key)
                    elif key.endswith(".bitmask"):
                        work.report(task, done, len(bases), "matrices")
                        done += 1
                        base = key.removesuffix(".bitmask")
                        # Old files name the weight itself, newer ones the layer that holds it.
                        own = base if base.endswith(".weight") else f"{base}.weight"
                        tensors[own] = _unpacked(base, opened, holders)
                if tensors:
                    yield file, tensors
    except (SafetensorError, ValueError, RuntimeError) as problem:
        raise BadInput("Broken weights", f"{name} can't be unpacked: {problem}", "Download it again.") from problem


def _unpacked(base: str, opened: Mapping[Path, Any], holders: Mapping[str, Path]) -> Tensor:
    """The matrix of this name. Raises ValueError with its name if it is incomplete."""
    keys = [f"{base}.{kind}" for kind in ("bitmask", "compressed", "shape")]
    for key in keys:
        if key not in holders:
            raise ValueError(f"a sparse matrix is incomplete: {visible(key)} is in no file.")
    bits, values, shape = (opened[holders[key]].get_tensor(key) for key in keys)
    try:
        return unpack(bits, values, tuple(int(size) for size in shape.flatten()))
    except (ValueError, RuntimeError, IndexError) as problem:
        raise ValueError(f"the sparse matrix {visible(base)} is incomplete: {problem}.") from problem


def _without_sparsity(config: Mapping[str, object]) -> dict[str, Any]:
    """The configuration of the unpacked folder: without the sparse format. A quantisation stays."""
    rest = {key: value for key, value in config.items() if key not in ("sparsity_config", *_NAMES)}
    for key in _NAMES:
        found = config.get(key)
        if isinstance(found, Mapping) and found.get("config_groups"):
            left = {name: value for name, value in found.items() if name != "sparsity_config"}
            rest["quantization_config"] = {"quant_method": "compressed-tensors", **left}
    return rest
