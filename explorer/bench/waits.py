"""Measures how long the screen waits for its turn while the models explain a token beside it.

`python -m explorer.bench.waits [SETTING]` opens the explorer on the demo model without a terminal, takes some steps,
and opens the screen that explains the first split.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from explorer.bench.interface import CountingDriver, until
from explorer.sources.live import LiveSource, loader
from explorer.ui.app import ExplorerApp
from explorer.words.defaults import DEFAULT_PROMPT, DEFAULT_PRUNE
from probes.schema.errors import Failure
from probes.schema.explanation import Swaps
from probes.schema.prune_setting import parse
from probes.schema.requests import Run
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec

LIMIT = 0.050
"""Seconds that the screen may stall."""
TICK = 0.005
STEPS = 12
SIZE = 120, 36


@dataclass(frozen=True, slots=True)
class Waits:
    """How late the interface's loop came back from a sleep of `TICK`, in seconds, one value a tick."""

    doing: str
    late: tuple[float, ...]

    def quantile(self, share: float) -> float:
        return sorted(self.late)[min(len(self.late) - 1, int(share * len(self.late)))]

    @property
    def stalls(self) -> int:
        return sum(one > LIMIT for one in self.late)


async def screen_waits(spec: PairSpec, *, steps: int = STEPS, rest: float = 2.0) -> list[Waits]:
    """Measures the loop at rest for some seconds, while stepping, and while the why screen explains.

    Raises `Failure` if the models can't be loaded.
    """
    settings = RunSettings(DEFAULT_PROMPT, steps=steps)
    app = ExplorerApp(LiveSource(loader(spec), settings), driver=CountingDriver)
    task = asyncio.create_task(app.run_async(size=SIZE, mouse=False))
    await until(lambda: app.view.header is not None or app.view.failure is not None)
    if app.view.failure is not None:
        app.leave()
        await task
        raise Failure(app.view.failure.title, app.view.failure.message, app.view.failure.hint)
    found: list[Waits] = []
    late: list[float] = []
    ticking = asyncio.create_task(_tick(late))

    async def taken(doing: str) -> None:
        await asyncio.sleep(2 * TICK)  # so that there is a tick, however quick it was
        found.append(Waits(doing, tuple(late)))
        late.clear()

    await asyncio.sleep(rest)
    await taken("at rest")
    app.source.ask(Run())
    await until(lambda: app.view.newest == steps)
    await taken("stepping")
    app.simulate_key("d")
    await until(lambda: _explained(app))
    await taken("explaining")
    ticking.cancel()
    app.leave()
    await task
    return found


def _explained(app: ExplorerApp) -> bool:
    found = app.view.explained(Swaps, app.view.cursor)
    return found is not None and found.final


async def _tick(late: list[float]) -> None:
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        late.append(time.perf_counter() - before - TICK)


def waits_table(found: list[Waits]) -> Table:
    """The waits beside their limit."""
    table = Table("screen", "median", "99 %", "longest", "over 50 ms", title="How late the screen gets its turn, ms")
    for one in found:
        cells = (f"{1000 * one.quantile(share):.1f}" for share in (0.5, 0.99, 1))
        table.add_row(one.doing, *cells, f"{one.stalls} of {len(one.late):,}")
    return table


if __name__ == "__main__":
    setting = parse(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_PRUNE)
    Console().print(waits_table(asyncio.run(screen_waits(PairSpec(prune=setting)))))
    sys.stdout.flush()
    os._exit(0)  # the models may still compute the rest of an explanation
