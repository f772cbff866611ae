"""Measures the interface: the work of one more step with thousands on the screen, without any model.

The work is all that a terminal needs: folding the event, drawing the regions, composing the update and turning it into
escape sequences. The time is that of the interface's own thread, so waiting costs nothing.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rich.console import Console
from rich.table import Table
from textual.drivers.headless_driver import HeadlessDriver

from explorer.sources.toy.source import ToySource
from explorer.state.axis import Axis
from explorer.state.columns import Columns
from explorer.ui.app import LEAST_INTERVAL, ExplorerApp
from explorer.ui.widgets.braille import DASHED, SOLID, decades, lines
from explorer.words.figures import Scope
from probes.schema.events import StepMeasured
from probes.schema.record import StepRecord
from probes.schema.requests import Run
from probes.schema.summary import Accumulator

TOY_STEPS = 240
"""Toy steps that are computed; longer paths repeat them with sums of their own."""
ROUNDS = 40
LIMIT = 6.0
"""The most milliseconds of work that one more step may take."""


@dataclass(frozen=True, slots=True)
class UiCost:
    """Medians over `ROUNDS` steps, in milliseconds."""

    steps: int
    """Steps on the screen."""
    width: int
    height: int
    step: float
    """The interface's work for one more step."""
    chart: float
    """Drawing one chart of two series of these steps for the first time, 26 cells wide and 6 high."""


def interface_costs(
    steps: int = 10_000, sizes: Sequence[tuple[int, int]] = ((80, 24), (120, 36), (160, 45))
) -> list[UiCost]:
    """Measures at each terminal size, with a number of steps on the screen."""
    path = long_path(steps + ROUNDS)
    chart = _chart_cost(path)
    return [UiCost(steps, *size, asyncio.run(_step_cost(path, steps, size)), chart) for size in sizes]


def cost_table(costs: Sequence[UiCost]) -> Table:
    """The table of the costs, each beside its limit."""
    found = Table("screen", "steps recorded", "work a step", "limit", "one chart", title="Interface")
    for cost in costs:
        found.add_row(
            f"{cost.width} × {cost.height}",
            f"{cost.steps:,}",
            f"{cost.step:.1f} ms",
            f"{LIMIT:g} ms",
            f"{cost.chart:.2f} ms",
        )
    return found


def long_path(steps: int) -> list[StepRecord]:
    """A path of any length in `free`, with all figures of a step, a full table and sums that fit."""
    pattern = ToySource().records(TOY_STEPS)
    state, path = Accumulator(), []
    for place in range(steps):
        record = replace(pattern[place % TOY_STEPS], step=place + 1)
        path.append(replace(record, sum=state.add(record)))
    return path


class CountingDriver(HeadlessDriver):
    """A terminal that shows nothing, and counts what is written to it."""

    written = 0
    painted: asyncio.Event | None = None
    """Set at every write, so that waiting for one costs nothing."""

    @property
    def is_headless(self) -> bool:
        return False

    def write(self, data: str) -> None:
        type(self).written += len(data)
        if self.painted is not None:
            self.painted.set()


async def _step_cost(path: Sequence[StepRecord], steps: int, size: tuple[int, int]) -> float:
    source = ToySource()
    app = ExplorerApp(source, driver=CountingDriver)
    task = asyncio.create_task(app.run_async(size=size, mouse=False))
    await until(lambda: app.view.header is not None)
    source.ask(Run())
    for record in path[:steps]:
        source.emit(StepMeasured(1, 0, record))
    await until(lambda: app.view.newest == steps)
    await asyncio.sleep(4 * LEAST_INTERVAL)
    found = []
    for record in path[steps:]:
        CountingDriver.painted = asyncio.Event()
        before = time.thread_time()
        source.emit(StepMeasured(1, 0, record))
        await CountingDriver.painted.wait()
        await asyncio.sleep(1.5 * LEAST_INTERVAL)
        found.append(1000 * (time.thread_time() - before))
    CountingDriver.painted = None
    app.leave()
    await task
    return statistics.median(found)


async def until(true: Callable[[], bool]) -> None:
    """Waits until something is so."""
    while not true():
        await asyncio.sleep(0.005)


def _chart_cost(path: Sequence[StepRecord]) -> float:
    """Drawing a chart for the first time, with nothing remembered from before."""
    axis, scale = Axis.of(len(path)), decades(1e-4, 10)
    found = []
    for _ in range(ROUNDS // 2):
        columns = Columns(path)
        pair = [columns.get("p.kl", Scope.SHARED), columns.get("p.kl", Scope.OWN)]
        before = time.thread_time()
        lines(pair, [SOLID, DASHED], axis, scale, 26, 6)
        found.append(1000 * (time.thread_time() - before))
    return statistics.median(found)


if __name__ == "__main__":
    Console().print(cost_table(interface_costs()))
