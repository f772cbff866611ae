"""The command table of the verdict screen."""

from __future__ import annotations

from typing import TYPE_CHECKING

from explorer.ui.commands import Command, page_commands
from explorer.ui.screens.list_page import row_commands
from explorer.ui.screens.row_finding import find_commands

if TYPE_CHECKING:
    from explorer.ui.screens.verdict import VerdictScreen


def can_score(screen: VerdictScreen) -> bool:
    return screen.has_models


def is_away(screen: VerdictScreen) -> bool:
    """Is the run of an item or a passage shown, in place of the person's own?"""
    return screen.judging.home is not None and screen.has_models


def _is_judged(screen: VerdictScreen) -> bool:
    return screen.count > 0


VERDICT_COMMANDS: tuple[Command[VerdictScreen], ...] = (
    Command(
        {"r": "score"},
        "r",
        "Scores the items of the chosen tasks in both models, beside stepping, or stops that. What is scored is kept.",
        label=lambda screen: "stop" if screen.judging.scoring else "score",
        name="Verdict: Score, or stop",
        when=can_score,
        weight=90,
    ),
    *row_commands("task", "tasks"),
    Command(
        {"enter": "items"},
        "⏎",
        "Shows the items of the task with both models' answers; of retrieval, its similarities.",
        label="items",
        name="Verdict: Items of the task",
        when=_is_judged,
        weight=80,
    ),
    Command(
        {"d": "margin"},
        "d",
        "Changes the margin, the largest loss that counts as safe, and judges again. No item is scored again.",
        label="margin",
        name="Verdict: Margin",
        when=lambda screen: screen.can_judge,
        weight=75,
    ),
    Command(
        {"c": "tasks"},
        "c",
        "Chooses the tasks: sets that ship, or files of items.",
        label="tasks",
        name="Verdict: Choose tasks",
        when=can_score,
        weight=70,
    ),
    Command(
        {"P,shift+p": "passages"},
        "P",
        "Searches for the passages where the two models differ most.",
        label="passages",
        name="Passages: Where the models differ",
        when=can_score,
        weight=60,
    ),
    Command(
        {"x": "prune"},
        "x",
        "Prunes with another setting. The results of this one are kept.",
        label="prune",
        name="Models: Prune",
        when=can_score,
        weight=50,
    ),
    Command(
        {"v": "flip"},
        "v",
        "Switches to the previous prune setting, and back.",
        name="Models: Flip settings",
        when=can_score,
    ),
    Command(
        {"h": "home"},
        "h",
        "Begins your own run again, after an item or a passage was opened.",
        label="your run",
        name="Run: Back to your own prompt",
        when=is_away,
        offered=lambda screen: screen.judging.home is not None,
        weight=65,
    ),
    *find_commands("a task", weight=38),
    *page_commands("Verdict", "Goes back, or closes a zoomed panel. Scoring goes on.", explain=40, back=55),
)
