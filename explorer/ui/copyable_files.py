"""The parts that can be copied of a comparison and of a sweep: what shows them again."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from explorer.sources.chosen import Chosen
from explorer.sources.cited_files import comparison_command, comparison_lines, sweep_command, sweep_lines
from explorer.ui.copying import Copyable
from probes.schema.sweep import SweepHeader

NO_PLAN = "The file of this sweep does not hold its plan."
NOT_NAMED = "These runs were not opened from files."


def comparison_parts(named: Sequence[Chosen]) -> list[Copyable]:
    """What shows a comparison again."""
    about = "The command line that prints this comparison."
    lines = "A script that reads these recordings and prints the figures of each."
    command, python = (comparison_command(named) + "\n", comparison_lines(named)) if named else ("", "")
    return [
        Copyable("c", "the command", about, lambda: command, "command", "sh", why_not=NOT_NAMED),
        Copyable("l", "the Python lines", lines, lambda: python, "comparison", "py", why_not=NOT_NAMED),
    ]


def sweep_parts(header: SweepHeader, path: Path) -> list[Copyable]:
    """What shows a sweep again, and what computes it again."""
    from probes.sweep.plan_file import plan_from_toml

    about = "The command line that prints this sweep, and goes on with the cells that are missing."
    again = "A script that computes all cells again, into another file."
    plan = "The plan that `phier sweep` computes all cells by."
    return [
        Copyable("c", "the command", about, lambda: f"{sweep_command(path)}\n", "command", "sh"),
        Copyable(
            "l",
            "the Python lines",
            again,
            lambda: sweep_lines(plan_from_toml(header.plan, "The plan of this sweep"), path) if header.plan else "",
            "sweep",
            "py",
            why_not=NO_PLAN,
        ),
        Copyable("e", "the plan (TOML)", plan, lambda: header.plan, "plan", "toml", why_not=NO_PLAN),
        Copyable(
            "o",
            "the command that opens it",
            "The command line that opens this file here.",
            lambda: f"{shlex.join(['phier-tui', str(path)])}\n",
            "open",
            "sh",
        ),
    ]
