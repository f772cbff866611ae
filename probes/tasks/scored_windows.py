"""Reads windows in the dense and in several second models, and compares them position by position.

The dense model reads each window once, whatever the number of second models, and its head and softmax run once for
each position. Second models that are states of one twin are set one after another, once for each chunk of windows:
more windows a chunk mean fewer changes of state and more hidden states in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from probes.system.progress import UNWATCHED, Work
from probes.tasks.many_positions import ManyPositions
from probes.tasks.position_sums import ROWS, PositionFigures, PositionSums
from probes.tasks.token_windows import TokenWindow
from probes.twin.twin import Twin
from probes.twin.twin_state import TwinState

SCORING = "Scoring"
"""The name of the work."""
LOGITS = 1 << 22
"""How many logits of a model are in memory at once: 16 MiB in float32."""
CHUNK = 16_384
"""The most tokens that are read under one state of the twin before the next one is set."""
HELD = 0.1
"""The share of the dense weights that the hidden states of these tokens may take, of all models together."""
Keep = Callable[[Tensor, Tensor], None]
_PASS = {"cpu": 512}
"""Tokens of one pass; on a GPU more, because short passes leave it idle."""
_PASS_GPU = 16_384


@dataclass(frozen=True, slots=True, eq=False)
class SecondModel:
    """A model to compare with the dense one: one of its own, or a state of a twin."""

    name: str
    reader: ManyPositions
    mark: str = ""
    """Tells it from any other model, also in a later run."""
    twin: Twin | None = None
    state: TwinState | None = None

    def take_state(self) -> None:
        """Sets the twin to this state; what is in place already is left."""
        if self.twin is not None and self.state is not None:
            self.twin.set_state(self.state)


@dataclass(frozen=True, slots=True, eq=False)
class ScoredChunk:
    """Some windows with the figures of their scored positions, in order."""

    windows: tuple[TokenWindow, ...]
    figures: tuple[PositionFigures, ...]
    """Of each second model."""

    @property
    def numbers(self) -> np.ndarray:
        """The number of each position's window in this chunk, from 0."""
        return np.repeat(np.arange(len(self.windows)), [window.scored for window in self.windows])

    @property
    def places(self) -> np.ndarray:
        """How many tokens of its window are before each position's token."""
        return np.concatenate([np.arange(window.first, len(window.ids)) for window in self.windows])


def score_windows(
    dense: ManyPositions,
    seconds: Sequence[SecondModel],
    windows: Iterable[TokenWindow],
    vocabulary: int,
    work: Work = UNWATCHED,
    *,
    at_once: int = 0,
    total: int | None = None,
    done: int = 0,
    keep: Keep | None = None,
) -> Iterator[ScoredChunk]:
    """The figures of all windows. Distributions are over the ids below `vocabulary`.

    `keep` gets the dense logits, (n, V), and the text's tokens, (n,), of all scored positions in order, those of a
    chunk before it is yielded. `at_once` are the tokens of one pass, 0 for the default. Progress is in tokens, from
    `done` on, of `total`. The second models' twins have their former states whenever a chunk is yielded. Raises
    `Cancelled`, and `Failure` if memory runs out.
    """
    most = at_once or pass_size(dense)
    together = _chunk_size(dense, seconds, most)
    compare = _Comparison(dense, seconds, vocabulary, work, keep, together)
    for chunk in chunks_of(windows, together):
        size = sum(len(window.ids) for window in chunk)
        hidden = []
        for number, states in enumerate(_states(dense, seconds, list(batches_of(chunk, most)), work)):
            hidden.append(states)
            work.report(SCORING, done + size * (number + 1) / (len(seconds) + 2), total, "tokens")
        figures = compare(hidden, [token for window in chunk for token in window.ids[window.first :]])
        done += size
        del hidden
        work.report(SCORING, done, total, "tokens")
        yield ScoredChunk(tuple(chunk), figures)


def _chunk_size(dense: ManyPositions, seconds: Sequence[SecondModel], most: int) -> int:
    """Tokens of a chunk: those of one pass, but more if states of a twin take turns."""
    if len({id(second.state) for second in seconds if second.twin is not None}) < 2:
        return most
    weights = sum(weight.nbytes for weight in dense.model.parameters())
    width = int(dense.model.config.get_text_config(decoder=True).hidden_size)
    held = (1 + len(seconds)) * width * dense.model.dtype.itemsize
    return max(most, min(CHUNK, int(HELD * weights / held)))


def pass_size(reader: ManyPositions) -> int:
    """Tokens of one pass of a model."""
    return _PASS.get(reader.device.type, _PASS_GPU)


def _states(
    dense: ManyPositions, seconds: Sequence[SecondModel], batches: Sequence[Sequence[TokenWindow]], work: Work
) -> Iterator[Tensor]:
    """The states after which the scored tokens follow, (positions, d), of the dense model, then of each second one.
    Twins end in the state that they began in."""
    held = {id(second.twin): (second.twin, second.twin.state) for second in seconds if second.twin is not None}
    try:
        for second in (None, *seconds):
            if second is not None:
                second.take_state()
            found = []
            for batch in batches:
                work.check(SCORING)
                found.append(positions_of(dense if second is None else second.reader, batch))
            yield torch.cat(found)
    finally:
        for twin, state in held.values():
            twin.set_state(state)


class _Comparison:
    """Compares the states of some positions, a slice of positions at a time. All slices use the same memory: if it were
    got for each and freed, the C library would keep ever more of it between what is still in use."""

    def __init__(
        self,
        dense: ManyPositions,
        seconds: Sequence[SecondModel],
        vocabulary: int,
        work: Work,
        keep: Keep | None,
        most: int,
    ) -> None:
        self._dense, self._seconds, self._vocabulary, self._work = dense, seconds, vocabulary, work
        self._keep = keep
        self._device = torch.device("cpu") if dense.device.type == "mps" else dense.device
        self._slice = max(1, min(most, LOGITS // vocabulary))
        self._rooms = [reader.room(self._slice) for reader in (dense, *(one.reader for one in seconds))]
        rows = ROWS if self._device.type == "cpu" else self._slice
        self._sums = PositionSums(vocabulary, rows, self._device)

    @torch.inference_mode()
    def __call__(self, hidden: Sequence[Tensor], tokens: Sequence[int]) -> tuple[PositionFigures, ...]:
        """The figures of each second model. `hidden` are the states of the dense model and of each second one."""
        targets = torch.tensor(tokens, device=self._device)
        found: list[list[PositionFigures]] = [[] for _ in self._seconds]
        readers = (self._dense, *(one.reader for one in self._seconds))
        slices = max(1, -(-len(targets) // self._slice))
        for number in range(slices):
            self._work.check(SCORING)
            rows = slice(len(targets) * number // slices, len(targets) * (number + 1) // slices)
            dense, *others = (
                self._output(reader, states[rows], room)
                for reader, states, room in zip(readers, hidden, self._rooms, strict=True)
            )
            if self._keep is not None:
                self._keep(dense[1], targets[rows])
            for made, figures in zip(found, self._sums.compare(*dense, others, targets[rows]), strict=True):
                made.append(figures)
        return tuple(PositionFigures.joined(parts) for parts in found)

    def _output(self, reader: ManyPositions, hidden: Tensor, room: Tensor | None) -> tuple[Tensor, Tensor]:
        return hidden.to(self._device), reader.logits(hidden, room)[:, : self._vocabulary].to(self._device)


def positions_of(reader: ManyPositions, batch: Sequence[TokenWindow]) -> Tensor:
    """The states after which the scored tokens follow, (positions, d)."""
    hidden = reader.hidden([window.ids for window in batch])
    rows = [states[window.first - 1 : len(window.ids) - 1] for states, window in zip(hidden, batch, strict=True)]
    return torch.cat(rows)


def chunks_of(windows: Iterable[TokenWindow], most: int) -> Iterator[list[TokenWindow]]:
    """Windows of at most so many tokens together, at least one."""
    held: list[TokenWindow] = []
    for window in windows:
        if held and sum(len(one.ids) for one in held) + len(window.ids) > most:
            yield held
            held = []
        held.append(window)
    if held:
        yield held


def batches_of(windows: Sequence[TokenWindow], most: int) -> Iterator[list[TokenWindow]]:
    """Windows that are read in one pass: of about one length, padded to so many tokens at most."""
    held: list[TokenWindow] = []
    for window in windows:
        longest = max(len(one.ids) for one in (*held, window))
        shortest = min(len(one.ids) for one in (*held, window))
        if held and ((len(held) + 1) * longest > most or 2 * shortest < longest):
            yield held
            held = []
        held.append(window)
    if held:
        yield held
