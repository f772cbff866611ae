"""Counts the tensors and bytes of weight files from the headers of safetensors files."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible

_STORED = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}
"""Bytes of one number, by safetensors' name for its type; every other type takes one byte."""


def bytes_needed(files: Sequence[Path], dtype: torch.dtype | None) -> int:
    """Bytes of the weights in memory in this dtype, from the files' headers; for pickles, their size on disk."""
    total = 0
    for file in files:
        total += _tensor_bytes(file, dtype) if file.suffix == ".safetensors" else file.stat().st_size
    return total


def count_tensors(files: Sequence[Path]) -> int:
    """How many tensors the files hold; for pickles, the most that could be in them."""
    return sum(len(_header(file)) if file.suffix == ".safetensors" else file.stat().st_size // 64 for file in files)


def _tensor_bytes(file: Path, dtype: torch.dtype | None) -> int:
    total = 0
    try:
        for entry in _header(file).values():
            start, end = entry["data_offsets"]
            stored = _STORED.get(entry["dtype"], 1)
            floating = "F" in entry["dtype"] and stored > 1
            total += (end - start) * (dtype.itemsize if dtype and floating else stored) // stored
    except (ValueError, KeyError, TypeError) as problem:
        raise _not_whole(file) from problem
    return total


def _header(file: Path) -> dict[str, Any]:
    """The entries of a safetensors file's header, by tensor name."""
    try:
        with file.open("rb") as opened:
            header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
        return {key: entry for key, entry in header.items() if key != "__metadata__"}
    except (OSError, ValueError, AttributeError, MemoryError, OverflowError, RecursionError) as problem:
        raise _not_whole(file) from problem


def _not_whole(file: Path) -> BadInput:
    return BadInput("Broken weights", f"{visible(str(file))} is damaged or incomplete.", "Download it again.")
