"""A sublayer or a whole block as a value. Its text, such as "attn 20", is for people and files only."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

BLOCK = "block"
SUBLAYERS = ("attn", "mlp")
"""The kinds of sublayers that a block has."""


@dataclass(frozen=True, slots=True, order=True)
class Part:
    """One attention, one MLP, or one whole block. Parts sort by kind, then by layer."""

    kind: str
    """"attn", "mlp" or "block"; "mixer" or "" for modules that are never dropped."""
    layer: int
    """Counted from 0."""

    @classmethod
    def parse(cls, text: str) -> Part:
        """Reads "attn 20". Raises ValueError for any other text."""
        found = _TEXT.fullmatch(text)
        if found is None:
            raise ValueError(f"{text!r} names no part: attn 20, mlp 3, block 7")
        return cls(found[1], int(found[2]))

    def __str__(self) -> str:
        return f"{self.kind} {self.layer}"

    @property
    def block(self) -> Part:
        """The block that it is in; a block itself."""
        return Part(BLOCK, self.layer)

    def in_any(self, parts: Collection[Part]) -> bool:
        """Is it, or the block that it is in, one of these?"""
        return self in parts or self.block in parts

    @property
    def sublayers(self) -> tuple[Part, ...]:
        """The attention and the MLP of a block; a sublayer itself."""
        return tuple(Part(kind, self.layer) for kind in SUBLAYERS) if self.kind == BLOCK else (self,)


_TEXT = re.compile(rf"({'|'.join((*SUBLAYERS, BLOCK))}) ([0-9]{{1,9}})")
