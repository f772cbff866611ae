"""Reads one context with many exchanges at once: each row of a batch is a run with another exchange in it.

A row begins at the block of its exchange, on the recorded stream. That block has weights of its own; above it the row
joins the batch, so each remaining block's weights are read once for all rows. On a CPU, several batches are read side
by side, each by one thread: the last bits of a row then seldom depend on how many rows are beside it. Whether they do
is seen in every batch: its first row has no exchange, and must end as the recorded run, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn

from probes.models.hooks import Call, first_of

WIDTH, LEAST = 8, 4
"""Exchanges in one batch: at most, and at least, below which the row without one costs more than the batch saves."""
TOKENS = 512
"""The most tokens that all exchanges of a batch have; with more, a CPU multiplies no faster."""

Resumed = Callable[[], Tensor]
"""Gives the stream after the block of an exchange, (1, tokens, d)."""


def width_of(tokens: int) -> int:
    """How many exchanges share a batch, on a context of so many tokens."""
    width = min(WIDTH, TOKENS // tokens)
    return width if width >= LEAST else 1


@dataclass(slots=True)
class Batch:
    """Rows that go through the blocks together."""

    exchanges: Mapping[int, Sequence[tuple[int, Resumed]]]
    """By layer: the numbers of the exchanges in it, and how each is resumed."""
    rows: list[int] = field(default_factory=list)
    """The numbers of the exchanges that have joined, in the order of the rows."""
    stream: Tensor | None = None
    """(rows + 1, tokens, d), the first without an exchange."""

    @torch.no_grad()
    def advance(self, layer: int, block: nn.Module, calls: Mapping[int, Call], recorded: Tensor) -> None:
        """Goes through one block. `calls` has its arguments by the number of rows, `recorded` is the stream that enters
        it in the run without exchanges."""
        here = self.exchanges.get(layer, ())
        if self.stream is None and not here:
            return
        stream = recorded if self.stream is None else self.stream
        left = first_of(calls[len(stream)].with_hidden(block, stream))
        joined = [resumed() for _, resumed in here]
        self.rows += [number for number, _ in here]
        self.stream = torch.cat([left, *joined]) if joined else left


def through_blocks(
    batches: Sequence[Batch],
    blocks: Mapping[int, nn.Module],
    calls: Callable[[int], Mapping[int, Call]],
    recorded: Mapping[int, Tensor],
    between: Callable[[], None],
    run: Callable[[Sequence[Callable[[], None]]], object],
) -> None:
    """Takes batches through all blocks. `calls` gives every block's arguments for a number of rows, `run` does what all
    batches need at one block, and `between` is called between two blocks."""
    widest = 1 + max(sum(map(len, batch.exchanges.values())) for batch in batches)
    known = {rows: calls(rows) for rows in range(1, widest + 1)}
    for layer, block in blocks.items():
        between()
        of_rows = {rows: calls_[layer] for rows, calls_ in known.items()}
        run([partial(batch.advance, layer, block, of_rows, recorded[layer]) for batch in batches])
