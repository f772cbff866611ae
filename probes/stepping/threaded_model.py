"""A model with its cache that reads on a thread of its own, while another one reads on another thread.

The thread computes with a number of threads of its own, whatever the thread that asks computes with.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from transformers import PreTrainedModel

from probes.stepping.cached_model import CachedModel, Context, NextTokenOutput, Reading
from probes.system.progress import UNWATCHED, Work


class ThreadedModel(CachedModel):
    """A `CachedModel` whose started readings are done on `thread`, which does one at a time.

    `helper` is the other model's thread, which is idle while this one still reads several contexts.
    """

    def __init__(
        self, model: PreTrainedModel, thread: ThreadPoolExecutor, helper: ThreadPoolExecutor | None = None
    ) -> None:
        self._helper = helper
        super().__init__(model)
        self._thread = thread

    def start(self, contexts: Sequence[Context], work: Work = UNWATCHED, positions: int = 1) -> Reading:
        """See `CachedModel`. `work` hears of progress on that thread."""
        return _OnThread(self, self._thread, contexts, work, positions)


class _OnThread:
    def __init__(
        self, model: CachedModel, thread: ThreadPoolExecutor, contexts: Sequence[Context], work: Work, positions: int
    ) -> None:
        self._abandoned = threading.Event()
        cancelled = work.cancelled

        def stops() -> bool:
            return self._abandoned.is_set() or (cancelled is not None and cancelled())

        self._reading = thread.submit(model.read_some, contexts, Work(work.progress, stops, work.notes), positions)

    def result(self) -> NextTokenOutput:
        return self._reading.result()

    def abandon(self) -> None:
        self._abandoned.set()
        self._reading.exception()
