"""Estimates the time of a sweep's cells: from the cells in its file, else from a pass timed when the model was loaded.

Free of torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from probes.schema.items import ItemSet, TaskKind
from probes.schema.prune_setting import Method
from probes.schema.sweep import CellResult, PromptTask
from probes.schema.task_options import TaskOptions
from probes.sweep.cells import PlannedCell
from probes.sweep.jobs import DenseFacts

_LETTERS = 4.0
"""Characters of a token, about."""
_PASS = 12.0
"""What a pass costs besides its tokens, in tokens: reading one takes about as long as reading a dozen together."""
_WALKS = {Method.WANDA: 3.0, Method.SPARSEGPT: 12.0}
"""Passes over the calibration text that a method takes, about; others take one."""
_SAMPLES, _LENGTH = 32, 128
"""Of the calibration text, unless the plan says otherwise."""
_TRIFLE = 0.01
"""Seconds of a setting that was already carried out."""
_LIBRARIES = 400_000_000
"""Bytes of a process that has loaded the libraries and no model, about."""


@dataclass(frozen=True, slots=True)
class SweepEstimate:
    """What is left to do of a sweep."""

    cells: int
    """Cells that are not known."""
    seconds: float
    """Of all of them, by so many workers."""
    bytes_each: int
    """Memory of a worker."""
    measured: bool
    """Does it follow from cells of this file, and not only from one pass?"""


class CellTimes:
    """The expected seconds of cells, which become better with every cell that is done."""

    def __init__(self, dense: DenseFacts, cells: Sequence[PlannedCell], options: TaskOptions) -> None:
        self._dense = dense
        self._guessed = {one.cell.key.task: _guessed_tokens(one.task, options) for one in cells}
        self._taken: dict[str, list[float]] = {}
        """Seconds of scoring, by task."""
        self._pruned: dict[str, list[float]] = {}
        """Seconds of pruning, by the setting's first method."""

    @property
    def measured(self) -> bool:
        """Is any cell of these tasks known?"""
        return bool(self._taken)

    def learn(self, one: PlannedCell, result: CellResult) -> None:
        """Takes the time of a cell that was computed whole."""
        if result.error is None and one.cell.key.task in self._guessed:
            self._taken.setdefault(one.cell.key.task, []).append(result.seconds)
            if result.pruning_seconds > _TRIFLE:
                self._pruned.setdefault(_method(one), []).append(result.pruning_seconds)

    def scoring(self, one: PlannedCell) -> float:
        """Seconds of scoring a cell."""
        task = one.cell.key.task
        if task in self._taken:
            return fmean(self._taken[task])
        guessed = self._dense.second_per_token * self._guessed[task]
        known = [(fmean(taken), self._guessed[other]) for other, taken in self._taken.items()]
        if not known:
            return guessed
        return self._guessed[task] * sum(taken for taken, _ in known) / max(sum(tokens for _, tokens in known), 1e-9)

    def pruning(self, one: PlannedCell) -> float:
        """Seconds of carrying a cell's setting out."""
        method = _method(one)
        if method in self._pruned:
            return fmean(self._pruned[method])
        parts = one.spec.prune.parts if one.spec.prune else ()
        calibration = one.spec.calibration
        tokens = (calibration.samples or _SAMPLES) * (calibration.length or _LENGTH)
        walks = max((_WALKS.get(part.method, 1.0) for part in parts if part.calibrated), default=0.0)
        return self._dense.second_per_token * tokens * walks

    def left(self, todo: Iterable[PlannedCell]) -> float:
        """Seconds that these cells take one worker, each setting being carried out once."""
        total, pruned = 0.0, set[object]()
        for one in todo:
            total += self.scoring(one)
            if one.spec not in pruned:
                pruned.add(one.spec)
                total += self.pruning(one)
        return total


def estimated(
    dense: DenseFacts,
    cells: Sequence[PlannedCell],
    results: Mapping[str, CellResult],
    options: TaskOptions,
    workers: int = 1,
) -> SweepEstimate:
    """What is left to do of a sweep, by the results that its file has."""
    times = CellTimes(dense, cells, options)
    todo, peaks = [], [0]
    for one in cells:
        known = results.get(str(one.cell.key))
        if known is None or known.error is not None:
            todo.append(one)
        else:
            times.learn(one, known)
            peaks.append(known.peak_bytes)
    # The twin of a masked model has a copy of every matrix that is masked.
    each = max(peaks) or 2 * dense.bytes + _LIBRARIES
    return SweepEstimate(len(todo), times.left(todo) / max(1, workers), each, times.measured)


def _method(one: PlannedCell) -> str:
    return str(one.spec.prune.parts[0].method) if one.spec.prune else ""


def _guessed_tokens(task: ItemSet | PromptTask, options: TaskOptions) -> float:
    """What scoring a task costs in both models, in tokens of a pass."""
    if isinstance(task, PromptTask):
        return 2 * (len(task.prompt) / _LETTERS + task.steps * (1 + _PASS))
    if task.kind is TaskKind.RETRIEVAL:
        assert task.collection is not None, "a retrieval task has a collection"
        texts = [one.text for one in task.collection.documents] + [one.text for one in task.collection.queries]
        return 2 * sum(len(text) / _LETTERS + _PASS for text in texts)
    around = len(task.wording.instruction) + len(task.wording.form)
    if task.kind is TaskKind.GENERATION:
        prompts = sum((around + len(one.prompt)) / _LETTERS for one in task.prompts)
        return 2 * (prompts + len(task.prompts) * options.new_tokens * (1 + _PASS))
    return 2 * sum(
        (around + len(one.question) + sum(map(len, one.options))) / _LETTERS + 2 * _PASS for one in task.questions
    )
