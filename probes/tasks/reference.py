"""The file of a saved reference: what a dense model computed on some texts, for models to be scored against later.

It holds, window after window, the tokens and what `reference_bounds` keeps of each scored position, then one JSON
object that describes it, that object's length and the mark that it ends with. The kept logits are those that the model
computed, to the bit (float32 for a model in half precision too); everything else is in float64.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import visible
from probes.schema.header import ModelInfo
from probes.schema.score import ScoreSettings
from probes.system.files import replacing
from probes.tasks.reference_bounds import KeptRows, keep_rows
from probes.tasks.token_windows import TokenWindow

TOP = 512
"""The default number of kept logits."""
_MARK = b"phier reference 1\n"
_WINDOW = struct.Struct("<II?")
_END = struct.Struct("<Q")


@dataclass(frozen=True, slots=True)
class ReferenceHeader:
    """What a reference is of."""

    dense: ModelInfo
    settings: ScoreSettings
    texts: tuple[str, ...]
    """Names of the files."""
    text_digest: str
    """SHA-256 over their bytes."""
    tokenizer_digest: str
    """SHA-256 over the tokenizer's tokens and their ids."""
    vocabulary: int
    """The distributions are over the ids below it."""
    top: int
    logits: str
    """The dtype of the kept logits, in numpy's letters."""
    positions: int = 0
    windows: int = 0
    tokens: int = 0
    """Tokens that were read."""
    digest: str = ""
    """SHA-256 over all windows and this description, without its digest."""

    @property
    def record(self) -> np.dtype[np.void]:
        """One position."""
        ids = "<u2" if self.vocabulary <= 1 << 16 else "<u4"
        numbers = [(name, "<f8") for name in ("log_total", "tail", "tail_entropy", "log_p")]
        return np.dtype([*numbers, ("ids", ids, (self.top,)), ("logits", self.logits, (self.top,))])


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256, hex, over the tokenizer's tokens in the order of their ids."""
    names = sorted((token_id, name) for name, token_id in tokenizer.get_vocab().items())
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()


class ReferenceWriter:
    """Writes windows as they are scored: `keep` gets the dense logits of a chunk's positions, `write` its windows."""

    def __init__(self, file: BinaryIO, header: ReferenceHeader) -> None:
        self.header = header
        self._file, self._hash = file, hashlib.sha256()
        self._held: list[np.ndarray] = []
        self._counts = [0, 0, 0]
        file.write(_MARK)

    def keep(self, logits: Tensor, targets: Tensor) -> None:
        """Keeps what is needed of the dense logits, (n, V), of the next positions."""
        kept = keep_rows(logits, targets, self.header.top)
        records = np.zeros(len(targets), self.header.record)
        for name in ("log_total", "tail", "tail_entropy", "log_p", "ids"):
            records[name] = getattr(kept, name).cpu().numpy()
        records["logits"] = kept.logits.to(torch.float64).cpu().numpy()  # exact, and then exact again
        self._held.append(records)

    def write(self, windows: Sequence[TokenWindow]) -> None:
        """Writes these windows with the positions that were kept since the last ones."""
        records, self._held = np.concatenate(self._held), []
        start = 0
        for window in windows:
            self._add(_WINDOW.pack(len(window.ids), window.first, window.begun))
            self._add(np.array(window.ids, dtype="<u4").tobytes())
            self._add(records[start : start + window.scored].tobytes())
            start += window.scored
            self._counts = [
                have + more for have, more in zip(self._counts, (window.scored, 1, len(window.ids)), strict=True)
            ]

    def finish(self) -> ReferenceHeader:
        """Writes the description, and returns it."""
        positions, windows, tokens = self._counts
        counted = replace(self.header, positions=positions, windows=windows, tokens=tokens)
        self._hash.update(_as_json(counted))
        self.header = replace(counted, digest=self._hash.hexdigest())
        described = _as_json(self.header)
        self._file.write(described + _END.pack(len(described)) + _MARK)
        return self.header

    def _add(self, more: bytes) -> None:
        self._hash.update(more)
        self._file.write(more)


@contextmanager
def writing_reference(path: Path, header: ReferenceHeader) -> Iterator[ReferenceWriter]:
    """A reference that is there once the block ends, and not at all if it raises. Raises `Failure` if the disk
    refuses."""
    try:
        with replacing(path) as part, part.open("wb") as file:
            writer = ReferenceWriter(file, header)
            yield writer
            writer.finish()
    except OSError as problem:
        message = f"{path} can't be written ({problem.strerror})."
        raise Failure("Reference", message, "Name another file, or keep fewer logits (--reference-top).") from problem


@dataclass(frozen=True, slots=True)
class Reference:
    """A saved reference, opened."""

    path: Path
    header: ReferenceHeader

    def windows(self) -> Iterator[tuple[TokenWindow, KeptRows]]:
        """Every window with what was kept of its scored positions."""
        with self.path.open("rb") as file:
            file.seek(len(_MARK))
            for _ in range(self.header.windows):
                length, first, begun = _WINDOW.unpack(file.read(_WINDOW.size))
                ids = np.frombuffer(file.read(4 * length), dtype="<u4")
                record = self.header.record
                records = np.frombuffer(file.read((length - first) * record.itemsize), dtype=record)
                yield TokenWindow(tuple(map(int, ids)), first, begun), _rows(records)


def open_reference(path: Path) -> Reference:
    """Opens a reference and checks that all of it is there. Raises `BadInput` if it is none, or damaged."""
    shown = visible(str(path), 300)
    if not os.path.isfile(path):
        raise BadInput("Reference", f"There is no file {shown}.", "Save one with phier score FILE… --save-reference.")
    try:
        with path.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            last = len(_MARK) + _END.size
            file.seek(0)
            if size < 2 * last or file.read(len(_MARK)) != _MARK:
                message = f"{shown} is no reference of phier score."
                raise BadInput("Reference", message, "Save one with phier score FILE… --save-reference.")
            file.seek(size - last)
            (length,) = _END.unpack(file.read(_END.size))
            end = size - last - length
            whole = end >= len(_MARK) and file.read() == _MARK
            if whole:
                file.seek(end)
                header = msgspec.json.decode(file.read(length), type=ReferenceHeader)
                file.seek(len(_MARK))
                found = _hash_of(file, end - len(_MARK))
                found.update(_as_json(replace(header, digest="")))
                whole = found.hexdigest() == header.digest
    except (OSError, msgspec.MsgspecError):
        whole = False
    if not whole:
        raise BadInput("Reference", f"{shown} is damaged: it is not whole.", "Save it again.")
    return Reference(path, header)


def described_reference(path: Path) -> str:
    """A sentence about a saved reference: its size and what it leaves out."""
    found = open_reference(path)
    header, tail, count = found.header, 0.0, 0
    for _, kept in found.windows():
        tail, count = tail + float(kept.tail.nansum()), count + int(kept.tail.isfinite().sum())
    return (
        f"{path.name} takes {path.stat().st_size / 1e6:.1f} MB, {header.record.itemsize:,} bytes a position: the "
        f"{header.top:,} largest of {header.vocabulary:,} logits exactly, and the mass and entropy of the others; "
        f"their mass is {tail / max(1, count):.2g} in the mean of {count:,} positions."
    )


def _as_json(header: ReferenceHeader) -> bytes:
    return msgspec.json.encode(asdict(header))


def _hash_of(file: BinaryIO, left: int) -> hashlib._Hash:
    found = hashlib.sha256()
    while left and (more := file.read(min(left, 1 << 22))):
        found.update(more)
        left -= len(more)
    return found


def _rows(records: np.ndarray) -> KeptRows:
    def column(name: str) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(records[name]).astype(np.float64))

    ids = torch.from_numpy(records["ids"].astype(np.int64))
    return KeptRows(ids, *(column(name) for name in ("logits", "log_total", "tail", "tail_entropy", "log_p")))
