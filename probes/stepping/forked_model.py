"""A model with its cache whose started readings are done by a process of its own (`reading_process`), or, as long as a
trial says so, on a thread here.

Everything else is done here, so hooks, exchanged modules and gradients work as ever. The cache is where it was used
last: it is fetched when something here needs it, and given back with the next reading. So each token is always read in
the piece in which it would be read without the process, and all outputs are the same to the bit.
"""

from __future__ import annotations

import copy
import time
import weakref
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from transformers import PreTrainedModel

from probes.models.kv_cache import cache_bytes
from probes.schema.spec import OverlapMode
from probes.stepping.cached_model import CacheLost, Context, Held, NextTokenOutput, Reading
from probes.stepping.overlap_trial import OverlapTrial
from probes.stepping.reading_process import ProcessLost, ReadingProcess, why_lost
from probes.stepping.threaded_model import ThreadedModel
from probes.system.progress import READING_PROMPT, UNWATCHED, Work

MOST_SENT = 1 << 28
"""The most bytes of a cache that a trial sends to and fro."""


WITH_PROCESS = "The process of the dense model has ended, and what it had read was lost with it."


class ForkedModel(ThreadedModel):
    """A `CachedModel` of the model that `process` has. When that has ended, it reads on `thread`.

    With a `trial`, the process begins when that wants it first.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        process: ReadingProcess,
        thread: ThreadPoolExecutor,
        trial: OverlapTrial | None = None,
    ) -> None:
        self._process, self._trial = process, trial
        self._stays = trial is not None
        """Is it to be read on the thread now?"""
        self._here: Held
        self._away = False
        """Is what was read in the process?"""
        super().__init__(model, thread)
        self._be_known()

    @property
    def lost(self) -> bool:
        return self._away and not self._process.alive

    def take_news(self) -> str:
        found = self._process.take_news(), self._trial.take_news() if self._trial else ""
        return " ".join(filter(None, found))

    @contextmanager
    def stepping(self, rows: int) -> Iterator[None]:
        """See `CachedModel`. With a trial, the step is read as that says, and timed."""
        trial = self._trial
        if trial is None:
            yield
            return
        if self._process.closed or (self._process.pid and not self._process.alive):
            trial.end()
        self._stays = trial.way(rows) is OverlapMode.THREADS
        if not self._stays and not self._process.pid:
            self._stays = not self._begun(trial)
        begun = time.perf_counter()
        yield
        trial.took(rows, time.perf_counter() - begun)

    def _begun(self, trial: OverlapTrial) -> bool:
        """Begins the process, if that is possible and not too much has been read to be sent to and fro."""
        if cache_bytes(self._here.cache) > MOST_SENT:
            trial.end()
            return False
        try:
            self._process.begin(self.short)
        except (ProcessLost, OSError) as problem:
            trial.end(why_lost(problem))
        return self._process.alive

    def start(self, contexts: Sequence[Context], work: Work = UNWATCHED, positions: int = 1) -> Reading:
        """See `CachedModel`. Raises `CacheLost` if the process has ended with the cache."""
        process = self._process
        if self._stays and self._away and process.alive:
            self._held  # noqa: B018 - is fetched
        if not self._away and (self._stays or not process.alive):
            return super().start(contexts, work, positions)
        process.turn.acquire()
        try:
            if not self._away:
                process.take(self._number, self._here)
            process.ask_to_read(self._number, contexts, positions)
            if not self._away:
                self._here, self._away = self._nothing(), True
        except BaseException as problem:
            process.turn.release()
            if isinstance(problem, ProcessLost):
                self._away = True
                raise CacheLost(WITH_PROCESS) from problem
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
            raise CacheLost(WITH_PROCESS) from problem
        return other

    @property
    def _held(self) -> Held:
        if self._away:
            try:
                with self._process.turn:
                    self._here = self._process.held(self._number)
            except ProcessLost as problem:
                raise CacheLost(WITH_PROCESS) from problem
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
            raise CacheLost(WITH_PROCESS) from problem
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
