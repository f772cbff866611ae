"""Reads contexts with the dense and the pruned model at the same time.

The two passes are independent until the tokens are chosen, so both are started before either is waited for. On GPUs
each has a stream; on a CPU `overlap` decides how they run at the same time, or one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from transformers import PreTrainedModel

from probes.models.rotary import Rotary
from probes.schema.events import WorkProgressed
from probes.stepping.cached_model import CachedModel, CacheLost, Done, NextTokenOutput, Reading
from probes.system.progress import Work

Outputs = tuple[NextTokenOutput | None, NextTokenOutput]
"""The dense output, None where no dense context was read; and the pruned one, with a row for each of its contexts."""


@dataclass(frozen=True, slots=True)
class BothModels:
    """The dense and the pruned model, each with its cache."""

    dense: CachedModel
    pruned: CachedModel

    @classmethod
    def of(cls, dense: PreTrainedModel | CachedModel, pruned: PreTrainedModel | CachedModel) -> BothModels:
        """A model that is given with its cache is used with it."""
        given = enumerate((dense, pruned))
        return cls(*(one if isinstance(one, CachedModel) else CachedModel(one, lane) for lane, one in given))

    def apart(self) -> BothModels:
        """Both with caches of their own, which hold what these do."""
        self.mend()
        return BothModels(self.dense.apart(), self.pruned.apart())

    @property
    def vocabulary(self) -> int:
        """The ids below it are in both models."""
        return min(self.dense.vocabulary, self.pruned.vocabulary)

    @property
    def takes_pieces(self) -> bool:
        """Does each give its outputs after several tokens in one pass?"""
        return self.dense.takes_pieces and self.pruned.takes_pieces

    @property
    def longest(self) -> int:
        """The tokens of the longest context."""
        return longest_context(self.dense.model, self.pruned.model)

    def read(
        self, dense: Sequence[int] | None, pruned: Sequence[Sequence[int]], work: Work, positions: int = 1
    ) -> Outputs:
        """What the dense model says after its context, if there is one, and the pruned one after each of its own: after
        the last so many positions. After any error both caches are empty."""
        self.mend()
        try:
            return self._read(dense, pruned, work, positions)
        except CacheLost:
            self.mend()
            return self._read(dense, pruned, work, positions)

    def mend(self) -> None:
        """If one's cache was lost, both are emptied: both models then read in the same shapes again."""
        if self.dense.lost or self.pruned.lost:
            self.forget()

    def forget(self) -> None:
        """Frees the caches."""
        self.dense.forget()
        self.pruned.forget()

    def _read(
        self, dense: Sequence[int] | None, pruned: Sequence[Sequence[int]], work: Work, positions: int
    ) -> Outputs:
        """They are joined only once both have been started, so that on one GPU neither waits for the other."""
        contexts = [(self.pruned, pruned)]
        if dense is not None:
            contexts.insert(0, (self.dense, [dense]))
        both = _Together(work, [len(rows[0]) for _, rows in contexts])
        started: list[Reading] = []
        try:
            with nullcontext() if dense is None or positions > 1 else self.dense.stepping(len(pruned)):
                for part, (model, rows) in enumerate(contexts):
                    started.append(model.start(rows, both.part(part), positions))
                    both.note(part, started[-1])
                outputs = [one.result() for one in started]
        except BaseException:
            for one in started:
                one.abandon()
            self.forget()
            raise
        self.dense.join()
        self.pruned.join()
        return None if dense is None else outputs[0], outputs[-1]


class _Together:
    """Reports the progress of several readings as that of one work, in tokens."""

    def __init__(self, work: Work, lengths: Sequence[int]) -> None:
        self._work, self._lengths = work, lengths
        self._read = [0.0] * len(lengths)

    def part(self, number: int) -> Work:
        """The work of one of them."""
        listener = self._work.progress

        def progress(one: WorkProgressed) -> None:
            self._read[number] = one.done or 0.0
            assert listener is not None
            listener(replace(one, done=sum(self._read), total=float(sum(self._lengths))))

        return Work(listener and progress, self._work.cancelled, self._work.notes)

    def note(self, number: int, reading: Reading) -> None:
        """Counts all of a reading that has ended already."""
        if isinstance(reading, Done):
            self._read[number] = self._lengths[number]


def longest_context(*models: PreTrainedModel) -> int:
    """Tokens that every model can read: beyond its trained positions a model fails or its output is nonsense."""
    sizes = [(m, getattr(m.config.get_text_config(decoder=True), "max_position_embeddings", None)) for m in models]
    known = (int(size * Rotary(m).stretch) for m, size in sizes if isinstance(size, int) and size > 0)
    return min(known, default=2**31)
