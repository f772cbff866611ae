"""Sweeps made by a formula, for tests of screens and exports: no model has measured them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path

from explorer.sources.recorder import Recorder
from explorer.sources.toy.source import ToySource
from probes.schema.items import TaskKind
from probes.schema.settings import Follow, RunSettings
from probes.schema.summary import Spread, Summary
from probes.schema.sweep import Cell, CellError, CellKey, CellResult, Removed, Sweep, SweepHeader
from probes.schema.verdict import LEVEL, MARGIN_OF_SAFETY, FurtherFigure, Outcome, SpaceLoss, TaskVerdict
from probes.sweep.sweep_file import cell_file, sweep_file
from probes.tasks.intervals import Paired, difference_interval, mcnemar, wilson
from probes.tasks.judge import FIGURES, rejudged
from probes.tasks.results_file import ResultsHeader, results_file
from tests.support.task_results import collection, counted, prompts, questions, ranked

WANDA = tuple((f"wanda:0.{tenths}", "wanda:{}", tenths / 10) for tenths in range(1, 8))
DROPS = tuple((f"drop-attn:{count}", "drop-attn:{}", float(count)) for count in range(1, 9))
SETTINGS = WANDA + DROPS
PARAMETERS = 134_515_008
"""Of the dense model that the sweeps are about."""

_TASKS = {
    "facts": (TaskKind.OPTIONS, 600, 0.25, 0.55, 5.0),
    "moods": (TaskKind.CLASSIFICATION, 480, 0.5, 0.7, 3.0),
    "passages": (TaskKind.RETRIEVAL, 300, 1 / 60, 0.8, 2.2),
    "answers": (TaskKind.GENERATION, 240, 0.0, 0.5, 0.5),
}
"""Kind, items, chance, the share that the dense model has right, and the damage at which most is lost."""
TASKS = tuple(_TASKS)


def damage(family: str, amount: float) -> float:
    """How much a setting changes: about 1 at half of the weights and at five layers."""
    return (amount / 0.5) ** 5 if family.startswith("wanda") else (amount / 5) ** 2.5


@cache
def row_of(task: str, hurt: float, margin: float = MARGIN_OF_SAFETY) -> TaskVerdict:
    """The row of a task under so much damage, with the outcome that its counts have."""
    kind, items, chance, dense_share, breaks = _TASKS[task]
    share = 1 - math.exp(-((hurt / breaks) ** 1.5))
    right = round(dense_share * items)
    lost, gained = round(0.9 * share * right), round(0.1 * share * (items - right))
    table = Paired(right - lost, lost, gained, items - right - gained)
    texts: tuple[FurtherFigure, ...] = ()
    if kind is TaskKind.GENERATION:
        texts = (FurtherFigure("half-life", "tokens", 12.0 / (hurt + 0.01), items=items),)
    row = TaskVerdict(
        task, kind, FIGURES[kind], items, items, chance, wilson(right, items), wilson(right - lost + gained, items),
        difference_interval(table), mcnemar(lost, gained) if lost + gained else None, lost, gained,
        1 - (lost + gained) / items, Outcome.SAFE, None,
        SpaceLoss(items, 0.02 * hurt, 0.05 * hurt, min(0.9, 0.2 * hurt), (1 + breaks / 10) * 0.4 * hurt), texts,
    )  # fmt: skip
    return rejudged(row, margin, LEVEL)


def run_of(hurt: float) -> Summary:
    """The run of a prompt under so much damage."""
    kl = Spread(64, 0.3 * hurt, 0.1 * hurt, 0.8 * hurt, 2 * hurt, 3 * hurt)
    return Summary(
        steps=64, compared=64, invalid=0, kl_sum=19.2 * hurt, kl_shared_sum=19.2 * hurt, kl=kl, kl_shared=kl,
        log_ratio=hurt, perplexity_ratio=math.exp(hurt / 64), scored=64, nll_dense=40.0, nll_pruned=40.0 + hurt,
        perplexity_dense=1.9, perplexity_pruned=1.9 + hurt / 10, survival=math.exp(-6 * hurt), log_survival=-6 * hurt,
        half_life=64 * math.log(2) / (6 * hurt) if hurt else None, agree_rate=math.exp(-hurt / 4),
        longest_agreement=max(1, round(64 * math.exp(-hurt))),
        first_split=max(1, round(64 * math.exp(-2 * hurt))) if hurt > 0.01 else None,
        rms_p_minus_q=min(1.0, 0.2 * hurt), kl_shared_both=19.2 * hurt, drift=0.0,
    )  # fmt: skip


def cell_of(setting: tuple[str, str, float | None], task: str, seed: int | None = None) -> Cell:
    text, family, amount = setting
    key = CellKey("5m0l1m000000", _hex(text), _hex("own text"), _hex(task), "" if seed is None else _hex(str(seed)))
    return Cell(text, family, amount, task, seed, key)


def result_of(cell: Cell) -> CellResult:
    amount = cell.amount or 0.0
    hurt = damage(cell.family, amount) * (1 + 0.2 * (cell.seed or 0))
    weights = round(amount * 106_000_000) if cell.family.startswith("wanda") else 0
    dropped = 0 if weights else int(amount) * 885_312
    parts = () if weights else tuple(f"attn {10 + place}" for place in range(int(amount)))
    prompt = cell.task.startswith("prompt")
    return CellResult(
        cell,
        row=None if prompt else row_of(cell.task, hurt),
        run=run_of(hurt) if prompt else None,
        removed=Removed(weights, dropped, parts, PARAMETERS),
        seconds=12.5 + amount,
        pruning_seconds=3.0,
        worker="here",
        peak_bytes=1_300_000_000,
    )


def failed_cell(cell: Cell, sentence: str = "The model computes NaN at layer 12.") -> CellResult:
    return CellResult(cell, error=CellError("Not finite", sentence, "Use another dtype."), worker="process 2")


def some_sweep(
    settings: Sequence[tuple[str, str, float | None]] = SETTINGS,
    tasks: Sequence[str] = TASKS,
    seeds: Sequence[int | None] = (None,),
    done: int | None = None,
    errors: Sequence[int] = (),
    plan: str = "",
) -> Sweep:
    """A sweep of which the first cells are done, or all; `errors` are the places of those that failed."""
    cells = tuple(cell_of(setting, task, seed) for setting in settings for task in tasks for seed in seeds)
    header = SweepHeader(
        "SmolLM2-135M-Instruct", "demo", cells, MARGIN_OF_SAFETY, LEVEL, {"phier": "1", "torch": "2"},
        "2026-03-01T12:00:00+00:00", plan,
    )  # fmt: skip
    shown = cells[:done]
    results = tuple(failed_cell(cell) if at in errors else result_of(cell) for at, cell in enumerate(shown))
    return Sweep(header, results)


def write_sweep(folder: Path, sweep: Sweep, *, files: bool = False) -> Path:
    """Writes it as the program does; with `files`, the items of its cells, too, of a few items each."""
    path = folder / "sweep.jsonl"
    with sweep_file(path) as file:
        file.begin(sweep.header)
        for result in sweep.results:
            file.add(result)
    for result in sweep.results if files else ():
        cell, there = result.cell, cell_file(path, result.cell.key)
        if result.run is not None:
            toy = ToySource(RunSettings("Tell me a story.", follow=Follow.DENSE), setting=cell.setting)
            toy.open(Recorder(lambda _event: None, there))
            toy.advance(4)
        elif result.row is not None:
            header = ResultsHeader(sweep.header.dense, f"{sweep.header.dense} {cell.setting}", cell.setting, {})
            with results_file(there, header) as kept:
                items = _ITEMS[cell.task]
                kept.take([items])
                for one in ranked(items, [(1, 1)] * 4) if cell.task == "passages" else counted(items, 2, 1, 0, 1):
                    kept.add(one)
    return path


_ITEMS = {
    "facts": questions(4),
    "moods": questions(4, name="moods", kind=TaskKind.CLASSIFICATION),
    "passages": collection(4, 4),
    "answers": prompts(4),
}


def _hex(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:12]
