"""The output of `phier recommend`: the settings that were tried, the answer with its evidence, what was not tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from explorer.cli.verdict_table import STYLES
from explorer.words.recommendations import recommendation_sentences
from explorer.words.token_text import fit, flowing
from explorer.words.verdict_figures import OUTCOME_SIGNS
from explorer.words.verdicts import interval_text, row_sentence, signed_points
from probes.schema.sweep import Held, Recommendation, Trial
from probes.schema.verdict import Outcome, TaskVerdict

_HELD_STYLES = {Held.SAFE: STYLES[Outcome.SAFE], Held.BROKEN: STYLES[Outcome.BROKEN]}
_LONGEST_NAME, _LONGEST_SETTING = 14, 48


def recommendation_object(found: Recommendation, **more: object) -> dict[str, Any]:
    """For `--json`: the recommendation with its sentences, and `more` keys."""
    plain = asdict(found)
    return {"setting": _setting(found), **plain, "sentences": recommendation_sentences(found), **more}


def print_recommendation(found: Recommendation, dense: str, console: Console) -> None:
    """The trials by family, the answer with a sentence for each task, what was not tried, and last the setting."""
    _line(console, flowing(dense), "bold blue")
    tasks = ", ".join(map(flowing, (*found.tasks, *found.nothing_to_lose)))
    _line(console, f"The most that is safe for {tasks or 'no task'}: {rules(found)}\n")
    if found.trials:
        console.print(_trials(found))
    for trial in found.trials:
        if trial.error is not None:
            why = f"{flowing(trial.error.title)}: {flowing(trial.error.message)}"
            _line(console, f"{flowing(trial.candidate.setting)} failed. {why}", "red")
    answer, *others = recommendation_sentences(found)
    _line(console, f"\n{answer}", "bold")
    shown = found.best or found.not_broken
    if shown is not None:
        for row in (*shown.rows, *found.confirmed):
            _line(console, f"  {flowing(row.task)}, {row.items} items: {row_sentence(row, found.margin, found.level)}")
    for sentence in others:
        _line(console, sentence)
    for note in found.notes:
        _line(console, flowing(note))
    if found.not_tried:
        _line(console, "\nNot tried", "bold")
        for sentence in found.not_tried:
            _line(console, f"  {flowing(sentence)}")
    if setting := _setting(found):
        _line(console, "\nThe setting:")
        _line(console, setting, "bold")


def rules(found: Recommendation) -> str:
    """ "margin 5 points · intervals of 95 %"."""
    return f"margin {100 * found.margin:g} points · intervals of {100 * found.level:g} %"


def trial_line(trial: Trial) -> str:
    """One trial, for a person who watches: "wanda:0.5: broken (facts −12)"."""
    name = flowing(trial.candidate.setting)
    if trial.error is not None:
        return f"{name}: {flowing(trial.error.title)}: {flowing(trial.error.message)}"
    tasks = ", ".join(f"{flowing(row.task)} {signed_points(row.difference.value)}" for row in trial.rows)
    return f"{name}: {trial.held} ({tasks})"


def _setting(found: Recommendation) -> str:
    return found.best.candidate.setting if found.best is not None else ""


def _trials(found: Recommendation) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("setting", no_wrap=True)
    table.add_column("removed", justify="right", no_wrap=True)
    for task in found.tasks:
        table.add_column(fit(flowing(task), min(_LONGEST_NAME, len(task))), justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for trial in _in_order(found.trials):
        by_task = {row.task: row for row in trial.rows}
        setting = flowing(trial.candidate.setting)
        table.add_row(
            fit(setting, min(_LONGEST_SETTING, len(setting))),
            "" if trial.removed is None else f"{100 * trial.removed:.1f} %",
            *(_cell(by_task.get(task)) for task in found.tasks),
            Text("failed", "red")
            if trial.error is not None
            else Text(str(trial.held), _HELD_STYLES.get(trial.held, "")),
        )
    return table


def _cell(row: TaskVerdict | None) -> Text:
    if row is None:
        return Text("·  ", "dim")
    difference = interval_text(row.difference.value, row.difference.low, row.difference.high, signed=True)
    return Text(f"{difference} {OUTCOME_SIGNS[row.outcome]}", STYLES.get(row.outcome, ""))


def _in_order(trials: Sequence[Trial]) -> list[Trial]:
    """By family, in the order in which each came first, and by amount within."""
    families = list(dict.fromkeys(one.candidate.family for one in trials))
    allocations = list(dict.fromkeys(one.candidate.allocation for one in trials))

    def place(trial: Trial) -> tuple[int, int, float]:
        of = trial.candidate
        return families.index(of.family), allocations.index(of.allocation), of.amount

    return sorted(trials, key=place)


def _line(console: Console, text: str, style: str = "") -> None:
    console.print(Text(text, style), soft_wrap=True, highlight=False)
