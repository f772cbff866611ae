"""The grid of a sweep: what state a cell is in, which figure it shows, where the cursor goes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from explorer.sources.kept_sweep import read_event
from explorer.state.sweep_grid import CellState, SweepGrid
from explorer.state.sweep_look import SweepLook
from explorer.words.sweep_figures import SWEEP_FIGURES, VERDICT
from probes.schema.sweep import Held, Sweep
from probes.schema.verdict import Outcome
from tests.support.formula_sweep import DROPS, SETTINGS, TASKS, WANDA, failed_cell, result_of, some_sweep

FIGURES = {figure.name: figure for figure in SWEEP_FIGURES}


def grid_of(sweep: Sweep, running: frozenset[str] = frozenset()) -> SweepGrid:
    return SweepGrid(read_event(sweep, running))


def test_every_cell_has_its_state() -> None:
    sweep = some_sweep(done=5, errors=(2,))
    cells = sweep.header.cells
    grid = grid_of(sweep, frozenset({str(cells[5].key)}))
    assert grid.settings == tuple(text for text, _, _ in SETTINGS)
    assert grid.tasks == TASKS
    states = [grid.at(row, column).state for row in range(2) for column in range(4)]  # type: ignore[union-attr]
    done, failed = CellState.DONE, CellState.FAILED
    assert states == [done, done, failed, done, done, CellState.RUNNING, CellState.WAITING, CellState.WAITING]
    assert grid.counts == {done: 4, failed: 1, CellState.RUNNING: 1, CellState.WAITING: 54}
    assert not grid.final
    assert grid_of(some_sweep()).final


def test_a_failed_cell_that_succeeds_later_counts_as_done() -> None:
    sweep = some_sweep(done=1)
    cell = sweep.header.cells[0]
    late = Sweep(sweep.header, (failed_cell(cell), result_of(cell), failed_cell(cell)))
    found = grid_of(late).at(0, 0)
    assert found is not None
    assert found.state is CellState.DONE


def test_time_is_left_only_while_something_runs() -> None:
    sweep = some_sweep(done=10)
    assert grid_of(sweep).seconds_left is None
    running = frozenset(str(cell.key) for cell in sweep.header.cells[10:12])
    left = grid_of(sweep, running).seconds_left
    mean = sum(one.seconds + one.pruning_seconds for one in sweep.results) / 10
    assert left == pytest.approx(mean * (48 + 1) / 2)
    assert grid_of(some_sweep(done=0), running).seconds_left is None


def test_seeds_are_averaged_and_the_worst_one_counts() -> None:
    grid = grid_of(some_sweep(WANDA, ("facts",), seeds=(0, 1, 2)))
    assert grid.seeds == (0, 1, 2)
    row = grid.settings.index("wanda:0.4")
    cell = grid.at(row, 0)
    assert cell is not None
    assert [one.cell.seed for one in cell.seeds] == [0, 1, 2]
    difference = FIGURES["difference"].of_task
    assert difference is not None
    each = [one.difference.value for one in cell.rows]
    assert cell.mean(difference.of) == pytest.approx(sum(each) / 3)
    assert {one.outcome for one in cell.rows} == {Outcome.SAFE, Outcome.TOO_FEW}
    assert cell.outcome is Outcome.TOO_FEW
    curve = grid.curve("wanda:{}", "facts")
    assert curve is not None
    assert curve.points[row].held is Held.UNDECIDED, "as the curve says"


def test_the_knee_is_where_the_curve_has_it() -> None:
    grid = grid_of(some_sweep())
    for column, task in enumerate(TASKS):
        knees = [grid.settings[row] for row in range(len(grid.settings)) if grid.is_knee(row, column)]
        curves = [grid.curve(family, task) for family in grid.by_family]
        assert knees == [one.at_knee.setting for one in curves if one is not None and one.at_knee is not None]
        assert len(knees) == 2


@pytest.mark.parametrize(
    ("tasks", "missing"),
    [(TASKS, {"survival", "first split"}), (("prompt 1",), {"difference", "score", "lost in h", "lost in z"})],
)
def test_only_figures_that_the_cells_have_are_offered(tasks: tuple[str, ...], missing: set[str]) -> None:
    names = {figure.name for figure in grid_of(some_sweep(WANDA[:2], tasks)).figures}
    assert not names & missing
    assert {"KL", "agreement", "parameters removed", "seconds"} <= names
    both = {figure.name for figure in grid_of(some_sweep(WANDA[:2], (*TASKS, "prompt 1"))).figures}
    assert both == set(FIGURES)


def test_figures_are_those_of_the_results() -> None:
    sweep = some_sweep(WANDA[4:5], ("facts", "prompt 1"))
    grid = grid_of(sweep)
    row, run, removed = sweep.results[0].row, sweep.results[1].run, sweep.results[0].removed
    assert row is not None
    assert run is not None
    assert removed is not None
    assert row.spaces is not None
    task, prompt = grid.at(0, 0), grid.at(0, 1)
    assert task is not None
    assert prompt is not None
    expected = {
        "verdict": (row.difference.value, run.kl_shared and run.kl_shared.mean),
        "score": (row.pruned.value, None),
        "agreement": (row.agreement, run.agree_rate),
        "lost in h": (row.spaces.h, None),
        "lost in z": (row.spaces.z, None),
        "lost in p": (row.spaces.p, None),
        "KL": (row.spaces.kl, run.kl_shared and run.kl_shared.mean),
        "survival": (None, run.survival),
        "first split": (None, run.first_split),
        "parameters removed": (removed.share, removed.share),
        "seconds": (sweep.results[0].seconds, sweep.results[1].seconds),
    }
    for name, (of_task, of_prompt) in expected.items():
        figure = FIGURES[name]
        assert (figure.of_task and task.mean(figure.of_task.of)) == of_task, name
        assert (figure.of_prompt and prompt.mean(figure.of_prompt.of)) == of_prompt, name


def test_colours_go_from_alike_to_unlike() -> None:
    for figure in SWEEP_FIGURES:
        for cells in filter(None, (figure.of_task, figure.of_prompt)):
            assert list(cells.bounds) == sorted(cells.bounds)
            assert len(cells.bounds) == 7
            assert cells.level(float("nan")) is None
            assert cells.level(float("inf")) == 7
    same = replace(result_of(some_sweep().header.cells[0]))
    assert same.row is not None
    assert VERDICT.of_task is not None
    far = VERDICT.of_task.far(same.row)
    assert far is not None
    assert VERDICT.of_task.level(far) == 0


def test_the_cursor_stays_in_the_grid() -> None:
    grid = grid_of(some_sweep())
    look = SweepLook()
    assert (look.row(grid), look.column(grid)) == (0, 0)
    assert look.moved(grid, -5, -5).cell(grid) is grid.at(0, 0)
    assert look.moved(grid, 100, 100).cell(grid) is grid.at(14, 3)
    knee = look.next_knee(grid)
    assert knee is not None
    assert knee.setting == "wanda:0.4"
    second = look.next_family(grid)
    assert second.setting == DROPS[0][0]
    assert second.next_family(grid).setting == WANDA[0][0]
    more = grid_of(some_sweep((DROPS[2], *SETTINGS)))
    assert more.settings[second.row(more)] == second.setting, "it is kept by name while the sweep grows"
    assert look.next_figure(grid, -1).figure is grid.figures[-1]
    assert look.next_figure(grid, len(grid.figures)).figure is look.figure


def test_a_curve_without_a_knee_has_none_to_go_to() -> None:
    assert SweepLook().next_knee(grid_of(some_sweep(WANDA[5:], ("answers",)))) is None


def test_another_margin_moves_the_knees() -> None:
    sweep = some_sweep(WANDA, ("answers",))
    wide = SweepGrid(read_event(sweep, frozenset(), 0.25))
    assert wide.read.sweep.header.margin == 0.25
    curve = wide.curve("wanda:{}", "answers")
    assert curve is not None
    assert curve.at_knee is not None
    assert curve.at_knee.setting == "wanda:0.4"
    cell = wide.cell("wanda:0.4", "answers")
    assert cell is not None
    assert cell.outcome is Outcome.SAFE
