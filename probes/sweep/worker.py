"""Computes the cells of a sweep, one after another: loads the dense model once, and changes its twin between cells."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace

import torch

from probes.models.devices import input_device
from probes.models.fingerprint import configuration
from probes.models.loaded import Loaded
from probes.pair import Pair, load_dense, pair_with_twin
from probes.schema.errors import BadInput, Cancelled, PhierError
from probes.schema.foreign_text import said
from probes.schema.items import ItemSet
from probes.schema.spec import LoadOptions, PairSpec
from probes.schema.summary import summarise
from probes.schema.sweep import CellError, CellResult, Removed
from probes.schema.task_results import ItemResult
from probes.sweep.jobs import DenseFacts, Found, ItemsFound, Job, JobDone
from probes.sweep.judged import judged_row
from probes.sweep.prompt_run import run_prompt
from probes.system.memory import peak_bytes
from probes.system.progress import UNWATCHED, Work
from probes.tasks.dense_side import DenseSide, dense_side
from probes.tasks.results_file import results_header
from probes.tasks.scored_items import score_items

_TIMED = 128
"""Tokens of the pass by which the time of a sweep is estimated."""


class CellWorker:
    """One worker; it holds one dense model and one twin, and does one job at a time."""

    def __init__(self, name: str = "here") -> None:
        self.name = name
        self._dense: Loaded | None = None
        self._dense_by: tuple[str, LoadOptions] | None = None
        self._pair: Pair | None = None
        """The dense model and its twin; the latest one that was made."""
        self._threads = 0
        """With which it computes unless a job says otherwise."""
        self._made_by: tuple[PairSpec, int] | None = None
        """The latest setting and its number of threads, whether or not it could be carried out."""
        self._failed: Exception | None = None
        """Why it could not; its other cells need not try again."""

    def dense(self, spec: PairSpec, work: Work = UNWATCHED) -> DenseFacts:
        """What the dense model is; it is loaded unless it has been. Raises what loading raises."""
        dense = self._loaded(spec, work)
        config = dense.model.config.get_text_config(decoder=True)
        longest = getattr(config, "max_position_embeddings", None)
        context = longest if isinstance(longest, int) and longest > 0 else None
        return DenseFacts(
            name=dense.info.name,
            fingerprint=dense.info.fingerprint,
            configuration=configuration(dense.model),
            dtype=dense.info.dtype,
            device=",".join(sorted({place.partition(":")[0] for place in dense.info.device.split(",")})),
            parameters=dense.info.parameters,
            bytes=sum(one.numel() * one.element_size() for one in dense.model.parameters()),
            context=context,
            second_per_token=_second_per_token(dense, context),
            layers=dense.info.layers,
            threads=self._threads if "cpu" in dense.info.device else 0,
        )

    def do(self, job: Job, work: Work = UNWATCHED) -> JobDone:
        """Computes a cell. Its mistakes and failures are in the result; raises only `Cancelled`."""
        for found in self.steps(job, work):
            if isinstance(found, JobDone):
                return found
        raise AssertionError("a job ends with its result")

    def steps(self, job: Job, work: Work = UNWATCHED) -> Iterator[ItemsFound | JobDone]:
        """Computes a cell, and gives its items as they are found; the last value is the `JobDone`. Raises only
        `Cancelled`."""
        work = work.apart()
        try:
            self._loaded(job.spec, work)
            torch.set_num_threads(job.threads or self._threads)
            yield from self._steps(job, work)
        except Cancelled:
            raise
        except Exception as problem:  # noqa: BLE001 - a cell that fails is recorded, and the sweep goes on
            failed = CellResult(job.cell, error=_error(problem), worker=self.name, peak_bytes=peak_bytes())
            yield JobDone(failed)
        finally:
            torch.set_num_threads(self._threads or torch.get_num_threads())

    def _steps(self, job: Job, work: Work) -> Iterator[ItemsFound | JobDone]:
        begun = time.perf_counter()
        pair = self._pruned(job.spec, work)
        pruned = time.perf_counter()
        report = pair.report
        assert report is not None, "a twin has a report"
        result = CellResult(job.cell, removed=_removed(pair), mask=report.mask_hash, worker=self.name)
        notes = (*pair.every_warning, *pair.every_note)
        side = dense_side(pair.dense, job.dense_side)
        done: JobDone
        if job.items is not None:
            done = yield from self._items(job, job.items, pair, result, side, work)
        else:
            assert job.prompt is not None, "a job has items or a prompt"
            lines, path, notes = run_prompt(pair, job.prompt, work, side)
            done = JobDone(replace(result, run=summarise(path)), recording=lines)
        yield replace(
            done,
            dense_side=side.to_bytes() if side.grown else b"",
            result=replace(
                done.result,
                seconds=time.perf_counter() - pruned,
                pruning_seconds=pruned - begun,
                peak_bytes=peak_bytes(),
                notes=tuple(dict.fromkeys((*notes, *done.result.notes, *side.notes, *work.notes))),
            ),
        )

    def _items(
        self, job: Job, items: ItemSet, pair: Pair, result: CellResult, side: DenseSide, work: Work
    ) -> Generator[ItemsFound, None, JobDone]:
        """Scores what is not known; returns the `JobDone`."""
        header = results_header(pair, job.options)
        found: list[Found] = list(job.known)
        done = frozenset((one.task, one.item) for one in found if isinstance(one, ItemResult))
        for one in score_items(pair, [items], work, done=done, options=job.options, side=side):
            found.append(one)
            yield ItemsFound(self.name, job, header, (one,))
        row, notes = judged_row(items, found, job.margin, job.level)
        return JobDone(replace(result, row=row, notes=notes), tuple(found), header)

    def _loaded(self, spec: PairSpec, work: Work) -> Loaded:
        wanted = spec.dense, spec.load
        if self._dense is None or self._dense_by != wanted:
            self._dense = self._pair = self._made_by = None  # first, so that there is memory for another one
            self._dense, self._dense_by = load_dense(*wanted, work), wanted
            self._threads = torch.get_num_threads()
        return self._dense

    def _pruned(self, spec: PairSpec, work: Work) -> Pair:
        """The twin by this setting; nothing is done if that is what it is. Raises what pruning raises."""
        dense = self._loaded(spec, work)
        wanted = spec, torch.get_num_threads()
        if wanted == self._made_by:
            if self._failed is not None:
                raise self._failed
        else:
            self._failed = None
            try:
                same = self._made_by is not None and self._made_by[1] == wanted[1]
                self._pair = _paired(dense, spec, self._pair, work, same_threads=same)
            except Cancelled:
                raise
            except Exception as problem:
                self._made_by, self._failed = wanted, problem.with_traceback(None)
                raise
            self._made_by = wanted
        assert self._pair is not None, "a setting that was carried out has made a pair"
        return self._pair


def _paired(dense: Loaded, spec: PairSpec, before: Pair | None, work: Work, *, same_threads: bool) -> Pair:
    if spec.prune is None:
        raise BadInput("No setting", "A cell of a sweep has no prune setting.", "Give one.")
    if before is None:
        return pair_with_twin(dense, spec.prune, spec.calibration, work)
    known = before.known if same_threads else None
    return pair_with_twin(dense, spec.prune, spec.calibration, work, twin=before.twin, known=known)


def _removed(pair: Pair) -> Removed:
    """What was removed: zeros of the matrices that run, and the parameters that do not."""
    report, twin = pair.report, pair.twin
    assert report is not None, "a twin has a report"
    assert twin is not None, "a sweep prunes twins"
    running = {matrix.name for matrix in twin.in_use} & twin.state.changes.keys()
    zeroed = sum(one.zeros - twin.dense_zeros(one.name) for one in report.matrices if one.name in running)
    return Removed(max(0, zeroed), report.dropped_parameters, report.dropped, pair.dense.info.parameters)


def _error(problem: Exception) -> CellError:
    if isinstance(problem, PhierError):
        return CellError(problem.title, problem.message, problem.hint)
    return CellError("Unexpected error", said(problem))


@torch.inference_mode()
def _second_per_token(dense: Loaded, context: int | None) -> float:
    """Seconds a token of a pass over a short text, the faster of two."""
    model = dense.model
    length = min(_TIMED, context or _TIMED)
    ids = torch.full((1, length), int(model.config.get_text_config(decoder=True).pad_token_id == 0))
    ids = ids.to(input_device(model))
    taken = []
    for _ in range(2):
        begun = time.perf_counter()
        float(model(input_ids=ids, use_cache=False).logits[0, -1, 0])  # waits for a GPU
        taken.append(time.perf_counter() - begun)
    return min(taken) / length
