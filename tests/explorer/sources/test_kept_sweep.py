"""A sweep's file as a source: it is followed while it grows, and any of its cells opens."""

from __future__ import annotations

from pathlib import Path

import pytest

from explorer.recordings.opening import open_recording
from explorer.sources.kept_sweep import CellSource, SweepSource, spec_of_cell
from explorer.sources.replay import ReplaySource
from probes.schema.errors import BadInput, FailureKind
from probes.schema.events import Failed, ItemScored, Judged, SweepRead
from probes.schema.requests import Judge, Step
from probes.schema.sweep import SweepPlan
from probes.sweep.plan_file import plan_toml
from probes.sweep.settings import swept_settings
from probes.sweep.sweep_file import cell_file, claimed, claimed_keys, sweep_file
from tests.support.formula_sweep import SETTINGS, TASKS, result_of, some_sweep, write_sweep
from tests.support.live import Listener


def followed(path: Path) -> tuple[SweepSource, Listener]:
    source, heard = SweepSource(path), Listener()
    source.open(heard)
    assert source.wait_idle(20)
    return source, heard


def test_the_program_opens_it_and_plays_none(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(SETTINGS[:1]))
    assert isinstance(open_recording(str(path), None, False, False, None, False), SweepSource)
    with pytest.raises(BadInput, match="a sweep, which can't be played"):
        open_recording(str(path), None, False, True, None, False)


def test_it_gives_the_cells_and_their_curves(tmp_path: Path) -> None:
    sweep = some_sweep(done=20, errors=(3,))
    source, heard = followed(write_sweep(tmp_path, sweep))
    [read] = heard.of(SweepRead)
    assert read.sweep == sweep
    assert len(read.curves) == 8
    assert read.running == frozenset()
    source.close()


def test_it_follows_the_file_while_another_program_appends(tmp_path: Path) -> None:
    sweep = some_sweep(SETTINGS[:2])
    path = write_sweep(tmp_path, some_sweep(SETTINGS[:2], done=3))
    source, heard = followed(path)
    with sweep_file(path) as file:
        for cell in sweep.header.cells[3:]:
            file.add(result_of(cell))
    heard.wait_for(lambda: heard.of(SweepRead)[-1].sweep.results == sweep.results, "what the file says")
    with path.open("ab") as file_:
        file_.write(b'{"kind":"cell","ce')  # torn
    heard.wait_for(lambda: len(heard.of(SweepRead)) > 1, "what the file says")
    assert not heard.of(Failed)
    source.close()


def test_a_file_that_is_replaced_is_read_again(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(SETTINGS[:2]))
    source, heard = followed(path)
    path.unlink()
    write_sweep(tmp_path, some_sweep(SETTINGS[:1], done=1))
    heard.wait_for(lambda: len(heard.of(SweepRead)[-1].sweep.results) == 1, "what the file says")
    source.close()


def test_a_line_that_can_not_be_read_is_named_once(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, some_sweep(SETTINGS[:1]))
    with path.open("a") as file:
        file.write("{}\n{")
    source, heard = followed(path)
    with path.open("a") as file:
        file.write("\n")
    heard.wait_for(lambda: len(heard.of(Failed)) > 0, "what the file says")
    path.write_text(path.read_text().replace("{}\n{\n", ""))
    heard.wait_for(lambda: len(heard.of(SweepRead)) > 0, "what the file says")
    source.close()


def test_cells_whose_claim_is_held_are_running(tmp_path: Path) -> None:
    sweep = some_sweep(done=1)
    path = write_sweep(tmp_path, sweep)
    one, other = (cell.key for cell in sweep.header.cells[1:3])
    stale = cell_file(path, other).with_suffix(".lock")
    stale.touch()
    cell_file(path, sweep.header.cells[3].key).with_suffix(".lock").symlink_to("gone")
    assert claimed_keys(path) == frozenset()
    with claimed(path, one) as mine:
        assert mine
        assert claimed_keys(path) == {str(one)}
        with claimed(path, other) as too:
            assert too, "looking at it claims nothing"
    assert claimed_keys(path) == frozenset()
    assert claimed_keys(tmp_path / "other.jsonl") == frozenset()


def test_another_margin_judges_every_row_again(tmp_path: Path) -> None:
    source, heard = followed(write_sweep(tmp_path, some_sweep()))
    request = Judge(margin=0.25)
    source.ask(request)
    heard.wait_for(lambda: heard.of(SweepRead)[-1].request == request.id, "what the file says")
    read = heard.of(SweepRead)[-1]
    assert read.sweep.header.margin == 0.25
    knees = {curve.task: curve.at_knee for curve in read.curves if curve.family == "wanda:{}"}
    assert knees["answers"] is not None
    assert knees["answers"].setting == "wanda:0.4"
    source.ask(Step())
    assert heard.of(Failed)[-1].kind is FailureKind.NEEDS_MODELS
    source.close()


def test_a_cell_opens_with_every_task_of_its_setting(tmp_path: Path) -> None:
    sweep = some_sweep(SETTINGS[3:5], (*TASKS, "prompt 1"), done=9)
    source, _ = followed(write_sweep(tmp_path, sweep, files=True))
    cell = source.opened("wanda:0.4", "passages")
    assert isinstance(cell, CellSource)
    assert cell.tasks == TASKS
    heard = Listener()
    cell.open(heard)
    assert cell.wait_idle(20)
    [judged] = heard.of(Judged)
    assert [row.task for row in judged.verdict.rows] == list(TASKS)
    assert judged.verdict.setting == "wanda:0.4"
    assert len(heard.of(ItemScored)) == judged.verdict.done
    found = cell.item_set("answers")
    assert found is not None
    assert len(found) == judged.verdict.rows[3].items
    assert isinstance(source.opened("wanda:0.4", "prompt 1"), ReplaySource)
    partly = source.opened("wanda:0.5", "moods")
    assert isinstance(partly, CellSource)
    assert partly.tasks == TASKS, "those that are done"
    cell_file(source.path, sweep.header.cells[0].key).unlink()
    with pytest.raises(BadInput, match="There is no file of wanda"):
        source.opened("wanda:0.4", "facts")
    source.close()


def test_seeds_are_not_mixed_in_one_verdict(tmp_path: Path) -> None:
    sweep = some_sweep(SETTINGS[3:4], ("facts", "moods"), seeds=(0, 1))
    source, _ = followed(write_sweep(tmp_path, sweep, files=True))
    cell_file(source.path, sweep.header.cells[0].key).unlink()  # facts with seed 0
    cell = source.opened("wanda:0.4", "facts")
    assert isinstance(cell, CellSource)
    assert cell.tasks == ("facts", "moods")
    assert [path.stem.rsplit("-", 1)[1] for path in cell.paths] == [sweep.header.cells[1].key.seed] * 2
    source.close()


def test_the_models_of_a_cell_are_those_of_its_plan() -> None:
    plan = SweepPlan(swept_settings("wanda:{0.1..0.7/0.1}"), dense="some/model", seeds=(3,))
    sweep = some_sweep(SETTINGS[3:4], ("facts",), seeds=(3,), plan=plan_toml(plan))
    spec = spec_of_cell(sweep, sweep.header.cells[0])
    assert spec.dense == "some/model"
    assert str(spec.prune) == "wanda:0.4"
    assert spec.calibration.seed == 3
