"""Decides how the passes of the two models of a step follow each other on a CPU, and makes the models that do so.

One token's pass is many short operations. Several threads gain little on each of them, so two passes at the same time,
each with half of the threads, take far less than two passes after each other. In two threads of one process the passes
wait for Python's lock now and then. So the dense model, which never changes, may compute in a process of its own where
the system allows it; the pruned one stays here with all that changes it. `overlap_trial` decides between the two.

The last digits of figures depend on the number of threads, and on nothing else that is decided here.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cached_property

from transformers import PreTrainedModel

from probes.models.offloaded import any_offloaded
from probes.schema.errors import BadInput
from probes.schema.spec import OverlapMode
from probes.stepping.cached_model import CachedModel
from probes.stepping.computing_here import expected_overlap, why_no_process
from probes.stepping.forked_model import ForkedModel
from probes.stepping.graphed_model import graphed
from probes.stepping.overlap_trial import OverlapTrial
from probes.stepping.reading_process import ProcessLost, ReadingProcess, why_lost
from probes.stepping.threaded_model import ThreadedModel
from probes.system.ranks import ranks
from probes.system.threads import computing_thread

SMALL = 8_000_000
"""Models with fewer weights take a few milliseconds a pass in any case: they are read one after the other."""
Models = tuple[CachedModel, CachedModel]


class Overlap:
    """How the models of one pair compute, and what they need for it: threads that are kept, and a process."""

    def __init__(
        self,
        mode: OverlapMode,
        threads: int = 0,
        *,
        process: ReadingProcess | None = None,
        trial: OverlapTrial | None = None,
    ) -> None:
        """`threads` is the number that each model computes with. With `trial`, that decides whether `process` is used,
        which is begun then."""
        self.threads = threads
        self.note = ""
        """A sentence if they can't compute as was asked for; else ""."""
        self._mode = mode
        self._process, self._trial = process, trial

    @property
    def mode(self) -> OverlapMode:
        """How they compute now: never `auto`, and `threads` when the process has ended."""
        if self._process is not None and not self._process.alive:
            return OverlapMode.THREADS
        if self._trial is not None and not self._trial.wants_process:
            return OverlapMode.THREADS
        return self._mode

    def models(self, dense: PreTrainedModel, pruned: PreTrainedModel) -> Models:
        """Both models with empty caches of their own. `dense` is always the one that this was made for."""
        if self._mode is OverlapMode.NONE:
            return CachedModel(dense, 0), CachedModel(pruned, 1)
        if self._mode is OverlapMode.GRAPHS:
            return graphed(dense, pruned)
        threaded = ThreadedModel(pruned, self._thread_pruned, self._thread)
        if self._process is not None:
            return ForkedModel(dense, self._process, self._thread, self._trial), threaded
        return ThreadedModel(dense, self._thread), threaded

    def close(self) -> None:
        """Ends the process. Models that used it compute in a thread from then on."""
        if self._process is not None:
            self._process.close()

    def renewed(self, dense: PreTrainedModel) -> Overlap:
        """The same, also after `close`."""
        if self._process is None or not self._process.closed:
            return self
        again = _tried(self.threads, dense) if self._trial else _made(self._mode, self.threads, dense)
        again.note = self.note
        return again

    @cached_property
    def _thread(self) -> ThreadPoolExecutor:
        return computing_thread(self.threads, "the dense model")

    @cached_property
    def _thread_pruned(self) -> ThreadPoolExecutor:
        return computing_thread(self.threads, "the pruned model")


ONE_AFTER_THE_OTHER = Overlap(OverlapMode.NONE)


def choose_overlap(
    dense: PreTrainedModel, pruned: PreTrainedModel, asked: OverlapMode = OverlapMode.AUTO, threads: int = 0
) -> Overlap:
    """The way that was asked for. With `auto`, passes at the same time if there are processor cores for both: first in
    threads, and the run's own steps decide whether the dense model gets a process (`overlap_trial`).

    `threads` is the number that each model is asked to compute with; 0 gives it half of those of this thread, or all if
    OMP_NUM_THREADS asks for them. Raises `BadInput` if what is asked for is impossible here.
    """
    if asked is OverlapMode.NONE:
        return ONE_AFTER_THE_OTHER
    if asked is OverlapMode.GRAPHS:
        if why := _why_no_graphs(dense, pruned):
            raise BadInput("Overlap", f"--overlap graphs is not possible: {why}.", "Leave it out.")
        return Overlap(asked)
    mode, each = expected_overlap(threads)
    impossible = _why_not(dense, pruned) or (asked is OverlapMode.PROCESS and why_no_process())
    if asked is not OverlapMode.AUTO:
        if impossible:
            raise BadInput("Overlap", f"--overlap {asked} is not possible: {impossible}.", "Leave it out.")
        return _made(asked, each, dense)
    few = min(sum(one.numel() for one in model.parameters()) for model in (dense, pruned)) < SMALL
    if impossible or few or mode is OverlapMode.NONE:
        return ONE_AFTER_THE_OTHER
    return _made(mode, each, dense) if mode is OverlapMode.THREADS else _tried(each, dense)


def _why_not(dense: PreTrainedModel, pruned: PreTrainedModel) -> str:
    if ranks() > 1:
        return "several processes of torchrun share the models"
    if any(any_offloaded(model) for model in (dense, pruned)):
        return "a device map moves weights in and out"
    if any(one.device.type != "cpu" for model in (dense, pruned) for one in (*model.parameters(), *model.buffers())):
        return "the models are not on a CPU"
    return "both models are one" if dense is pruned else ""


def _why_no_graphs(dense: PreTrainedModel, pruned: PreTrainedModel) -> str:
    for model in (dense, pruned):
        devices = {one.device for one in (*model.parameters(), *model.buffers())}
        if len(devices) > 1 or next(iter(devices)).type != "cuda":
            return "a model is not on one GPU alone"
    return "both models are one" if dense is pruned else ""


def _made(mode: OverlapMode, threads: int, dense: PreTrainedModel) -> Overlap:
    if mode is OverlapMode.THREADS:
        return Overlap(mode, threads)
    process = ReadingProcess(dense, threads)
    try:
        process.begin()
    except (ProcessLost, OSError) as problem:
        instead = Overlap(OverlapMode.THREADS, threads)
        instead.note = why_lost(problem)
        return instead
    return Overlap(mode, threads, process=process)


def _tried(threads: int, dense: PreTrainedModel) -> Overlap:
    return Overlap(OverlapMode.PROCESS, threads, process=ReadingProcess(dense, threads), trial=OverlapTrial())
