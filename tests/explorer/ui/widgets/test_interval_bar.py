"""The interval of a difference on its axis."""

from __future__ import annotations

from explorer.sources.toy.tasks import TASKS, toy_item, toy_set
from explorer.ui import theme
from explorer.ui.theme import palette
from explorer.ui.widgets.interval_bar import DifferenceAxis
from probes.schema.verdict import Interval, Outcome, TaskVerdict
from probes.tasks.judge import task_row


def row(low: float, value: float, high: float, outcome: Outcome = Outcome.TOO_FEW) -> TaskVerdict:
    from dataclasses import replace

    made = task_row(toy_set(TASKS[1]), [toy_item(TASKS[1], 0, 0.5)[0]], 0.02, 0.95)
    return replace(made, difference=Interval(value, low, high), outcome=outcome)


def drawn(one: TaskVerdict, margin: float = 0.02, width: int = 21) -> str:
    axis = DifferenceAxis.around([one], margin)
    return "".join(text for text, _ in axis.bar(one, margin, width, palette(theme.DARK)))


def test_it_reaches_over_the_interval_to_round_numbers() -> None:
    axis = DifferenceAxis.around([row(-0.17, -0.1, 0.04)], 0.02)
    assert (axis.low, axis.high) == (-0.2, 0.05)
    assert axis.head(21).startswith("−20")
    assert axis.head(21).endswith("+5")


def test_margin_and_zero_are_apart_and_seen_beside_the_interval() -> None:
    bar = drawn(row(-0.5, -0.4, -0.3))
    assert bar.index("├") < bar.index("●") < bar.index("┤") < bar.index("┊") < bar.index("│")


def test_an_interval_over_the_margin_crosses_it() -> None:
    bar = drawn(row(-0.2, -0.1, 0.1))
    assert "╪" in bar
    assert "┼" in bar


def test_an_interval_of_one_cell_is_a_dot() -> None:
    assert drawn(row(0.0, 0.0, 0.0)).strip("┊ ") == "●"
