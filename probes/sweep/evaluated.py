"""Scores the settings of a recommendation as cells of a sweep, which are kept in its file and never computed twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.items import ItemSet
from probes.schema.prune_setting import Setting, parse
from probes.schema.spec import PairSpec
from probes.schema.sweep import Candidate, CellResult, PromptTask, SweepHeader, SweepPlan, SweepProgress
from probes.sweep.amounts import Family
from probes.sweep.cells import PlannedCell, planned_cells
from probes.sweep.curves import results_by_key
from probes.sweep.jobs import Workers
from probes.sweep.layer_ratios import LayerCost, table_lines
from probes.sweep.plan_check import SweptTask, check_plan
from probes.sweep.settings import swept
from probes.sweep.sweep import PreparedSweep, run_sweep
from probes.sweep.sweep_file import read_sweep
from probes.system.files import replacing
from probes.system.progress import UNWATCHED, Work

LAYER_COST = "layer cost"
"""The name of the prompt on which a layer's cost is measured."""


@dataclass(frozen=True, slots=True)
class _Round(PreparedSweep):
    """Some cells to compute, and the header that the file has meanwhile."""

    kept: SweepHeader | None = None

    @property
    def header(self) -> SweepHeader:
        assert self.kept is not None, "a round has a header"
        return self.kept


class SweepEvaluation:
    """An `Evaluation` whose cells are those of a sweep on one file."""

    def __init__(
        self,
        plan: SweepPlan,
        path: Path,
        workers: Workers,
        prompt: PromptTask,
        work: Work = UNWATCHED,
        tell: Callable[[SweepProgress], None] = lambda _: None,
    ) -> None:
        """`plan` has the tasks and how they are scored, and one setting that stands for all. Has a worker load the
        dense model. Raises `BadInput` before that for tasks or a model that can't be used."""
        self._plan, self._path, self._workers, self._tell = plan, path, workers, tell
        self._tasks = {task.name: task for task in check_plan(plan, work)}
        self._prompt = replace(prompt, name=LAYER_COST)
        self._dense = workers.dense(PairSpec(plan.dense, prune=plan.settings[0].setting, load=plan.load), work)
        self._settings: dict[str, Setting] = {}
        """Those that were scored on a task."""
        earlier = read_sweep(path).header.cells if path.exists() and path.stat().st_size else ()
        self._cells = {str(cell.key): cell for cell in earlier}
        """All cells that the file's header names: those of earlier sweeps and recommendations, too."""

    @property
    def tasks(self) -> tuple[str, ...]:
        return tuple(self._tasks)

    @property
    def dense(self) -> str:
        """The dense model's name."""
        return self._dense.name

    @property
    def layers(self) -> int:
        """The dense model's."""
        return self._dense.layers

    def add_tasks(self, names: Sequence[str], work: Work = UNWATCHED) -> tuple[str, ...]:
        """Reads more tasks, and gives their names. Raises `BadInput` for one that is there already by its name or its
        items."""
        added = check_plan(replace(self._plan, tasks=tuple(names), way=None, most=None), work)
        digests = {task.digest: task.name for task in self._tasks.values() if isinstance(task, ItemSet)}
        for task in added:
            assert isinstance(task, ItemSet), "there are no prompts among the tasks"
            if task.name in self._tasks or task.digest in digests:
                message = f"{visible(task.name)} is searched on already."
                raise BadInput("Tasks", message, "Confirm on items that the search has not seen.")
        self._tasks |= {task.name: task for task in added}
        return tuple(task.name for task in added)

    def scored(self, settings: Sequence[Candidate], task: str) -> Sequence[CellResult]:
        parsed = [parse(one.setting) for one in settings]
        self._settings |= {str(one): one for one in parsed}
        cells = self._planned(parsed, self._tasks[task])
        self._cells |= {str(one.cell.key): one.cell for one in cells}
        return self._computed(cells)

    def layer_costs(self, family: Family, amount: float) -> Sequence[LayerCost]:
        part = parse(family.at(amount).setting).parts[0]
        layers = part.targets.layers if part.targets.layers is not None else range(self.layers)
        alone = [Setting((replace(part, targets=replace(part.targets, layers=(layer,))),)) for layer in layers]
        found = self._computed(self._planned(alone, self._prompt))
        return [
            LayerCost(layer, result.run.kl_shared.mean, result.removed.zeroed / amount)
            for layer, result in zip(layers, found, strict=True)
            if result.run is not None and result.run.kl_shared is not None and result.removed is not None
            if result.removed.zeroed
        ]

    def kl(self, setting: Candidate) -> float | None:
        (result,) = self._computed(self._planned([parse(setting.setting)], self._prompt))
        return result.run.kl_shared.mean if result.run is not None and result.run.kl_shared is not None else None

    def table(self, family: Family, amount: float, ratios: dict[int, float]) -> str:
        text = table_lines(ratios, f"{family.text}: {amount:g} shared out by what pruning each layer costs")
        digest = hashlib.sha256(text.encode()).hexdigest()[:8]
        folder = self._path.with_name(f"{self._path.name.removesuffix('.jsonl')}.tables")
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{family.method}-{amount:g}-{digest}.txt"
        with replacing(path) as part:
            part.write_text(text, "utf-8")
        return str(path)

    def _planned(self, settings: Iterable[Setting], task: SweptTask) -> tuple[PlannedCell, ...]:
        """The cells of these settings, in their order."""
        plan = replace(self._plan, settings=tuple(map(swept, settings)))
        cells, _ = planned_cells(plan, [task], self._dense)
        return cells

    def _computed(self, cells: Sequence[PlannedCell]) -> list[CellResult]:
        header_plan = replace(self._plan, settings=tuple(swept(one) for one in self._settings.values()))
        tasks = tuple(self._tasks.values())
        prepared = PreparedSweep(header_plan, tasks, self._dense, tuple(cells))
        kept = replace(prepared.header, cells=tuple(self._cells.values()))
        round_ = _Round(header_plan, tasks, self._dense, tuple(cells), (), kept)
        for _ in run_sweep(round_, self._path, self._workers, tell=self._tell):
            pass
        found = results_by_key(read_sweep(self._path))
        return [found[str(one.cell.key)] for one in cells]
