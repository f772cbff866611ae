"""What shows a comparison or a sweep again: the command line, and the lines of Python."""

from __future__ import annotations

import pprint
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from explorer.sources.chosen import Chosen
from explorer.sources.cited import python_value
from explorer.sources.program import program

if TYPE_CHECKING:
    from probes.schema.sweep import SweepPlan

_WIDTH = 100


def comparison_command(compared: Sequence[Chosen]) -> str:
    """The command that prints the figures of these recordings side by side."""
    return shlex.join([program("phier"), "compare", *map(str, compared)])


def comparison_lines(compared: Sequence[Chosen]) -> str:
    """A script that reads these recordings and prints the figures of each over the steps that all of them have."""
    runs = [(str(one.path), one.run) for one in compared]
    return f"""\
from pathlib import Path

from probes import read_recording, summarise

runs = []
for file, place in {pprint.pformat(runs, width=_WIDTH)}:
    recording = read_recording(Path(file))
    if place is not None:
        recording.choose(place)
    runs.append(recording.run)
steps = min(len(run.path) for run in runs)
summaries = [summarise(run.path[:steps]) for run in runs]
for run, summary in zip(runs, summaries):
    print(run.header.title, summary)
"""


def sweep_command(path: Path) -> str:
    """The command that prints what a sweep's file holds; of a sweep with cells to compute, it goes on with them."""
    return shlex.join([program("phier"), "sweep", str(path)])


def sweep_lines(plan: SweepPlan, path: Path) -> str:
    """A script that computes all cells of a plan again, into a file of their own in the present folder."""
    from probes.sweep.settings import written_settings

    imports = {"pathlib": {"Path"}, "probes": {"run_sweep", "swept_settings"}}
    made = "settings=tuple(one for text in settings for one in swept_settings(text))"
    value = python_value(replace(plan, settings=()), imports).replace("settings=()", made, 1)
    lines = [
        *(f"from {module} import {', '.join(sorted(names))}" for module, names in sorted(imports.items())),
        "",
        f"settings = {pprint.pformat(list(written_settings(plan.settings)), width=_WIDTH)}",
        f"plan = {value}",
        f"for result in run_sweep(plan, Path({f'{path.stem}-again.jsonl'!r})):",
        "    print(result.cell.setting, result.cell.task, result.row or result.run or result.error)",
    ]
    return "\n".join(lines) + "\n"
