"""The command table of the sweep screen."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from explorer.state.sweep_look import SweepPage
from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.row_finding import FIND_PREVIOUS, find_command

if TYPE_CHECKING:
    from explorer.ui.screens.sweep import SweepScreen


def _has_cells(screen: SweepScreen) -> bool:
    return screen.grid is not None and bool(screen.grid.settings)


def can_open(screen: SweepScreen) -> bool:
    return not screen.why_shut()


def has_families(screen: SweepScreen) -> bool:
    return screen.grid is not None and len(screen.grid.by_family) > 1


def _at(page: SweepPage, key: str, label: str, sentence: str, weight: int) -> Command[SweepScreen]:
    return Command(
        {key: f"page('{page.name}')"},
        key,
        sentence,
        label=label,
        name=f"Sweep: {page.value[0].upper()}{page.value[1:]}",
        offered=lambda screen: screen.look.page is not page,
        weight=weight,
    )


SWEEP_COMMANDS: tuple[Command[SweepScreen], ...] = (
    Command(
        {"up": "move(-1, 0)", "down": "move(1, 0)", "left": "move(0, -1)", "right": "move(0, 1)"},
        "← ↑ → ↓",
        "Chooses another setting, or another task.",
        label="cell",
        when=_has_cells,
        weight=95,
    ),
    Command(
        {"enter": "open"},
        "⏎",
        "Opens the cell: all tasks of its setting as a verdict, from which any item opens as a run; of a prompt, its "
        "recording.",
        label="open",
        name="Sweep: Open the cell",
        when=can_open,
        weight=90,
    ),
    _at(SweepPage.HEAT, "m", "heat map", "Shows the heat map of settings × tasks.", 84),
    _at(SweepPage.CURVES, "c", "curves", "Shows each task's score against the amount.", 83),
    _at(SweepPage.PARETO, "p", "Pareto", "Shows parameters removed against points lost, task by task.", 82),
    Command(
        {"f": "figure(1)", "F,shift+f": "figure(-1)"},
        "f F",
        "Shows the next or the previous figure in the heat map.",
        label="figure",
        offered=lambda screen: screen.look.page is SweepPage.HEAT,
        weight=80,
    ),
    Command(
        {"a": "together"},
        "a",
        "Draws the curves of all tasks in one plot, as points lost; or each task in a plot of its own.",
        label=lambda screen: "each alone" if screen.look.together else "all in one",
        name="Sweep: All curves in one plot",
        offered=lambda screen: screen.look.page is SweepPage.CURVES,
        weight=80,
    ),
    Command(
        {"g": "knee"},
        "g",
        "Chooses the knee of this task: the largest setting of the family that is still safe.",
        label="knee",
        name="Sweep: To the knee",
        when=_has_cells,
        weight=75,
    ),
    Command(
        {"n": "family"},
        "n",
        "Chooses the next family of settings. While a search is open, goes to the next cell that it finds.",
        label=lambda screen: "next" if screen.search is not None else "next family",
        name="Sweep: Next family, or the next found",
        when=lambda screen: screen.search is not None or has_families(screen),
        weight=70,
    ),
    Command(
        {"d": "margin"},
        "d",
        "Changes the margin, the largest loss that counts as safe. Nothing is computed again.",
        label="margin",
        name="Sweep: Margin",
        when=_has_cells,
        weight=65,
    ),
    Command({"pageup": "move(-10, 0)", "pagedown": "move(10, 0)"}, "PgUp PgDn", "Moves ten settings up or down."),
    Command(
        {"home": "move(-1000000, 0)", "end": "move(1000000, 0)"}, "Home End", "Chooses the first or the last setting."
    ),
    replace(find_command("a cell"), when=_has_cells, weight=38),
    FIND_PREVIOUS,
    *page_commands("Sweep", "Goes to the list of recordings, or closes a zoomed panel. The sweep goes on.", back=55),
)
