"""Counts the weights of a GGUF file from its header, in milliseconds.

The gguf package also reads a header, but makes an object for every token: ten seconds or more for a usual vocabulary.
The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value, by the number of its type: integers, floats and booleans."""
_STRING, _ARRAY = 8, 9
_MOST_DIMENSIONS = 4


def count_weights(source: Path) -> int:
    """How many numbers the tensors of a GGUF file hold. Raises ValueError if the header is damaged."""
    try:
        with source.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ValueError("it does not begin with GGUF.")
            header = _Header(file)
            if header.number("I") < 2:
                raise ValueError("its format is older than version 2.")
            tensors, facts = header.number("Q"), header.number("Q")
            for _ in range(facts):
                header.skip_string()
                header.skip_value(header.number("I"))
            return sum(header.weights_of_next() for _ in range(tensors))
    except (struct.error, OverflowError, RecursionError, OSError) as problem:
        raise ValueError("its header is cut short or damaged.") from problem


class _Header:
    """Reads the header in order, from its version on."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._order = "<"
        if not self.number("I") & 0xFFFF:  # the version is a small number only if the bytes are in the other order
            self._order = ">"
        file.seek(-4, 1)

    def weights_of_next(self) -> int:
        self.skip_string()
        dimensions = self.number("I")
        if dimensions > _MOST_DIMENSIONS:
            raise ValueError(f"one of its tensors has {dimensions} dimensions.")
        shape = [self.number("Q") for _ in range(dimensions)]
        self._file.seek(4 + 8, 1)  # its type and its offset
        return math.prod(shape)

    def skip_value(self, kind: int) -> None:
        if kind == _STRING:
            self.skip_string()
        elif kind == _ARRAY:
            inner, count = self.number("I"), self.number("Q")
            if inner in _SIZES:
                self._file.seek(_SIZES[inner] * count, 1)
            else:
                for _ in range(count):
                    self.skip_value(inner)
        elif kind in _SIZES:
            self._file.seek(_SIZES[kind], 1)
        else:
            raise ValueError(f"it holds a value of unknown type {kind}.")

    def skip_string(self) -> None:
        self._file.seek(self.number("Q"), 1)

    def number(self, kind: str) -> int:
        form = self._order + kind
        (number,) = struct.unpack(form, self._file.read(struct.calcsize(form)))
        assert isinstance(number, int)
        return number
