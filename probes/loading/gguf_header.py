"""Counts the weights of a GGUF file from its header, in milliseconds.

The gguf package reads a header as well, but makes an object of every token on the way, which takes ten seconds and more
for a usual vocabulary. The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md.
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
    """How many numbers the tensors of a GGUF file hold. Raises ValueError if the header is not what it should be."""
    try:
        with source.open("rb") as file:
            if file.read(4) != b"GGUF" or _number(file, "I") < 2:
                raise ValueError("not a GGUF file of version 2 or later")
            tensors, facts = _number(file, "Q"), _number(file, "Q")
            for _ in range(facts):
                _skip_string(file)
                _skip_value(file, _number(file, "I"))
            return sum(_weights_of_next(file) for _ in range(tensors))
    except (struct.error, OverflowError, RecursionError, OSError) as problem:
        raise ValueError(f"the header is cut short or damaged: {problem}") from problem


def _weights_of_next(file: BinaryIO) -> int:
    _skip_string(file)
    dimensions = _number(file, "I")
    if dimensions > _MOST_DIMENSIONS:
        raise ValueError(f"a tensor of {dimensions} dimensions")
    shape = struct.unpack(f"<{dimensions}Q", file.read(8 * dimensions))
    file.seek(4 + 8, 1)  # its type, and where it begins
    return math.prod(shape)


def _skip_value(file: BinaryIO, kind: int) -> None:
    if kind == _STRING:
        _skip_string(file)
    elif kind == _ARRAY:
        inner, count = _number(file, "I"), _number(file, "Q")
        if inner in _SIZES:
            file.seek(_SIZES[inner] * count, 1)
        else:
            for _ in range(count):
                _skip_value(file, inner)
    elif kind in _SIZES:
        file.seek(_SIZES[kind], 1)
    else:
        raise ValueError(f"a value of unknown type {kind}")


def _skip_string(file: BinaryIO) -> None:
    file.seek(_number(file, "Q"), 1)


def _number(file: BinaryIO, kind: str) -> int:
    (number,) = struct.unpack(f"<{kind}", file.read(struct.calcsize(f"<{kind}")))
    assert isinstance(number, int)
    return number
