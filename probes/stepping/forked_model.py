"""A model with its cache whose started readings are done by a process of its own (`reading_process`).

Everything else is done here, so hooks, exchanged modules and gradients work as ever. The cache is where it was used
last: it is fetched when something here needs it, and given back with the next reading. So each token is always read in
the piece in which it would be read without the process, and all outputs are the same to the bit.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from transformers import PreTrainedModel

from probes.schema.errors import Failure
from probes.stepping.cached_model import Context, Held, NextTokenOutput, Reading
from probes.stepping.reading_process import ProcessLost, ReadingProcess
from probes.stepping.threaded_model import ThreadedModel
from probes.system.progress import READING_PROMPT, UNWATCHED, Work


class CacheLost(Failure):
    """What a model had read was lost with the process that had read it."""

    def __init__(self) -> None:
        super().__init__(
            "The dense model's process ended",
            "What the dense model had read was lost with it.",
            "Ask again: both models read it again then, in this process.",
        )


class ForkedModel(ThreadedModel):
    """A `CachedModel` of the model that `process` has. When that has ended, it reads on `thread`."""

    def __init__(self, model: PreTrainedModel, process: ReadingProcess, thread: ThreadPoolExecutor) -> None:
        self._process = process
        self._here: Held
        self._away = False
        """Is what was read in the process?"""
        super().__init__(model, thread)
        self._be_known()

    @property
    def lost(self) -> bool:
        return self._away and not self._process.alive

    def take_news(self) -> str:
        return self._process.take_news()

    def start(self, contexts: Sequence[Context], work: Work = UNWATCHED) -> Reading:
        """See `CachedModel`. Raises `CacheLost` if the process has ended with the cache."""
        if not self._process.alive and not self._away:
            return super().start(contexts, work)
        process = self._process
        process.turn.acquire()
        try:
            if not self._away:
                process.take(self._number, self._here)
            process.ask_to_read(self._number, contexts)
            if not self._away:
                self._here, self._away = self._nothing(), True
        except BaseException as problem:
            process.turn.release()
            if isinstance(problem, ProcessLost):
                self._away = True
                raise CacheLost from problem
            raise
        return _InProcess(process, work)

    def apart(self) -> ForkedModel:
        """See `CachedModel`. Raises `CacheLost` if the process has ended with the cache."""
        other = copy.copy(self)
        other._be_known()
        if not self._away:
            other._held = self._here.apart()
            return other
        try:
            with self._process.turn:
                self._process.copy(self._number, other._number)
        except ProcessLost as problem:
            raise CacheLost from problem
        return other

    @property
    def _held(self) -> Held:
        if self._away:
            try:
                with self._process.turn:
                    self._here = self._process.held(self._number)
            except ProcessLost as problem:
                raise CacheLost from problem
            self._away = False
        return self._here

    @_held.setter
    def _held(self, held: Held) -> None:
        self._here, self._away = held, False

    def _be_known(self) -> None:
        """Gets a number in the process, which forgets it with this object."""
        self._number = self._process.new_number()
        weakref.finalize(self, self._process.free, self._number).atexit = False


class _InProcess:
    def __init__(self, process: ReadingProcess, work: Work) -> None:
        self._process, self._work = process, work
        self._over = False

    def result(self) -> NextTokenOutput:
        self._process.wait(lambda read: self._work.report(READING_PROMPT, read, unit="tokens"))
        try:
            return self._process.output()
        except ProcessLost as problem:
            raise CacheLost from problem
        finally:
            self._finish()

    def abandon(self) -> None:
        if not self._over:
            try:
                self._process.drop()
            finally:
                self._finish()

    def _finish(self) -> None:
        self._over = True
        self._process.turn.release()
