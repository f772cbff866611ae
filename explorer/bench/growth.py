"""`phier bench growth`: how the time of each thing grows with sizes, of random models and of recordings."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from probes.schema.errors import Failure
from probes.system.progress import UNWATCHED, Work

if TYPE_CHECKING:
    from probes.bench.growing import GrowthSizes
    from probes.bench.power_fit import GrowthCurve
    from probes.schema.events import Event
    from probes.schema.record import StepRecord

STEPS = (1_250, 2_500, 5_000, 10_000, 20_000)
"""Recorded steps."""
SCREEN = 120, 36
ROUNDS = 3
LIMITS = {"opening": 10.0, "comparing": 10.0, "exporting": 20.0}
"""The most times as long as `phier --help` that each may take with the most steps: 3, 3 and 6 s where that takes
0.3 s."""


@dataclass(frozen=True, slots=True)
class GrowthBench:
    """The curves, and the time that those of recordings are compared with."""

    curves: tuple[GrowthCurve, ...]
    help_seconds: float
    """`phier --help`, in a process of its own. As those of recordings, seconds of the processor."""

    @property
    def ratios(self) -> dict[str, float]:
        """The time of each work on recordings with the most steps, in that of `phier --help`."""
        return {one.what: one.seconds[-1] / self.help_seconds for one in self.curves if one.what in LIMITS}


def bench_growth(
    work: Work = UNWATCHED, *, sizes: GrowthSizes | None = None, steps: Sequence[int] = STEPS, rounds: int = ROUNDS
) -> GrowthBench:
    """Measures with random models and made-up recordings; some minutes on two cores. Raises `Failure` if the program's
    help can't be shown."""
    from probes.bench.growing import SIZES, model_growth

    curves = [*model_growth(sizes or SIZES, work), *_recording_growth(steps, rounds, work)]
    work.report("Timing phier --help")
    return GrowthBench(tuple(curves), min(_help_seconds() for _ in range(rounds)))


def _recording_growth(steps: Sequence[int], rounds: int, work: Work) -> Iterator[GrowthCurve]:
    """Recording, opening, comparing and exporting so many steps, and one more step on a screen with them."""
    from explorer.bench.interface import interface_costs, long_path
    from explorer.recordings.comparison import compare_recordings
    from explorer.recordings.export import export_recordings
    from probes.bench.power_fit import GrowthCurve, measure_curve
    from probes.recording.reader import read

    over = "recorded steps"
    path = long_path(max(steps))
    begins = _beginning()
    with tempfile.TemporaryDirectory(prefix="phier-bench-") as name:
        folder = Path(name)
        files = {count: folder / f"{count}.jsonl" for count in steps}
        out = folder / "out"
        out.mkdir()

        def recording(count: int) -> Callable[[], object]:
            return lambda: _record(files[count], begins, path[:count])

        works: dict[str, Callable[[int], Callable[[], object]]] = {
            "recording": recording,
            "opening": lambda count: lambda: read(files[count]),
            "comparing": lambda count: lambda: compare_recordings([files[count], files[count]]),
            "exporting": lambda count: lambda: export_recordings([files[count]], "csv", f"{out}/"),
        }
        for what, made in works.items():
            timers: dict[float, Callable[[], float]] = {count: _timed(made(count)) for count in steps}
            yield measure_curve(what, over, timers, rounds=rounds, work=work)
    seconds: list[float] = []
    for count in steps:
        work.report("Measuring the screen", len(seconds), len(steps), "sizes")
        seconds.append(interface_costs(count, (SCREEN,))[0].step / 1000)
    yield GrowthCurve("work of the screen a step", over, tuple(steps), tuple(seconds))


def _beginning() -> list[Event]:
    """The events of a run before its first step."""
    from explorer.sources.toy.source import ToySource
    from probes.schema.events import RunStarted

    events: list[Event] = []
    source = ToySource()
    source.open(events.append)
    return [event for event in events if isinstance(event, RunStarted)]


def _record(file: Path, begins: Sequence[Event], path: Sequence[StepRecord]) -> None:
    from probes.recording.writer import RecordingWriter
    from probes.schema.events import StepMeasured

    file.unlink(missing_ok=True)
    with RecordingWriter(file, sync_every=1e9) as writer:
        for event in begins:
            writer.write(event)
        for record in path:
            writer.write(StepMeasured(1, 0, record))


def _timed(work: Callable[[], object]) -> Callable[[], float]:
    """Seconds of the processor: how soon a disk takes a large file is no property of the program."""

    def timed() -> float:
        begun = time.process_time()
        work()
        return time.process_time() - begun

    return timed


def _help_seconds() -> float:
    program = "from explorer.cli.main import phier; phier(['--help'])"
    begun = _of_children()
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    if ended.returncode:
        raise Failure("Not measured", "phier --help failed.", "Run it yourself to see why.")
    return _of_children() - begun


def _of_children() -> float:
    """Seconds of the processor that ended subprocesses have taken."""
    taken = os.times()
    return taken.children_user + taken.children_system


def print_growth(found: GrowthBench, console: Console | None = None) -> None:
    """Prints each curve with its exponent, and the times of recordings beside their limits."""
    console = console or Console()
    caption = (
        "Least squares of log seconds over log size, of the fastest of rounds taken in turn; ± one standard error. A "
        "fixed cost flattens the beginning of a curve, so an exponent holds for its range. Kept: at most the limit, "
        "but for two errors or 0.1."
    )
    rows = [
        (
            one.what,
            one.over,
            f"{_short(one.sizes[0])} – {_short(one.sizes[-1])}",
            f"{1000 * one.seconds[0]:,.1f} – {1000 * one.seconds[-1]:,.1f}",
            f"{one.fit.exponent:.2f} ± {one.fit.error:.2f}",
            f"{one.limit:g}",
            "yes" if one.within else "NO",
        )
        for one in found.curves
    ]
    table = Table(title="Growth", caption=caption)
    for column in zip(("what", "over", "range", "ms", "exponent", "limit", "kept"), *rows, strict=True):
        table.add_column(column[0], min_width=max(len(word) for cell in column for word in cell.split()))
    for row in rows:
        table.add_row(*map(Text, row))
    console.print(table)
    table = Table(
        *("what", "CPU seconds", "times phier --help", "limit"),
        title="Recordings of the most steps",
        caption=f"phier --help takes {found.help_seconds:.2f} s here",
    )
    for one in found.curves:
        if one.what in LIMITS:
            table.add_row(
                one.what, f"{one.seconds[-1]:.2f}", f"{found.ratios[one.what]:.1f}", f"{LIMITS[one.what]:.0f}"
            )
    console.print(table)


def _short(size: float) -> str:
    """A size in few digits: 1.2k, 16M."""
    for unit, letter in ((1e6, "M"), (1e3, "k")):
        if size >= unit:
            return f"{size / unit:.3g}{letter}"
    return f"{size:g}"
