"""The key of a cell: each hash changes if and only if what it names changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from probes.schema.items import ItemSet, TaskKind, Way, Wording
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, Sampling
from probes.schema.spec import OWN_TEXT, CalibrationSpec
from probes.schema.sweep import CellKey, PromptTask
from probes.schema.task_options import TASK_DEFAULTS, Pooling, TaskOptions
from probes.sweep.jobs import DenseFacts
from probes.sweep.keys import cell_key
from tests.support.scored_pairs import FIND, LETTERS, SAY

FACTS = DenseFacts("tiny", "f" * 64, "c" * 64, "float32", "cpu", 10, 40, 256, 0.1)
PROMPT = PromptTask("prompt 1", "Why?")
SAMPLED = replace(PROMPT, sampling=Sampling(temperature=0.7, seed=5))


def key(
    *,
    dense: DenseFacts = FACTS,
    spec: str = "tiny",
    setting: str = "wanda:0.5",
    calibration: CalibrationSpec = OWN_TEXT,
    task: ItemSet | PromptTask = LETTERS,
    options: TaskOptions = TASK_DEFAULTS,
    seed: int | None = None,
) -> CellKey:
    return cell_key(dense, spec, parse(setting), calibration, task, options, seed)


def parts_that_differ(one: CellKey, other: CellKey) -> set[str]:
    return {name for name in CellKey.__slots__ if getattr(one, name) != getattr(other, name)}


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("model", {"dense": replace(FACTS, fingerprint="0" * 64)}),
        ("model", {"dense": replace(FACTS, configuration="0" * 64)}),
        ("model", {"dense": replace(FACTS, dtype="float64")}),
        ("model", {"dense": replace(FACTS, device="cuda")}),
        ("setting", {"setting": "wanda:0.6"}),
        ("setting", {"setting": "wanda:0.5@mlp"}),
        ("setting", {"setting": "sparsegpt:0.5"}),
        ("calibration", {"calibration": CalibrationSpec(samples=8)}),
        ("calibration", {"calibration": CalibrationSpec(length=64)}),
        ("seed", {"calibration": CalibrationSpec(seed=1)}),
        ("seed", {"seed": 1}),
        ("task", {"task": replace(LETTERS, way=Way.CONTINUATION)}),
        ("task", {"task": replace(LETTERS, wording=Wording("Choose."))}),
        ("task", {"task": replace(LETTERS, questions=LETTERS.questions[:2])}),
        (
            "task",
            {"task": replace(LETTERS, questions=(replace(LETTERS.questions[0], answer=2), *LETTERS.questions[1:]))},
        ),
        ("task", {"task": replace(LETTERS, kind=TaskKind.CLASSIFICATION)}),
        ("task", {"task": replace(LETTERS, chat=True)}),
        ("task", {"task": replace(LETTERS, group_wordings={"a": Wording("b")})}),
        ("task", {"task": FIND}),
        ("task", {"task": PROMPT}),
    ],
)
def test_the_hash_of_what_has_changed_changes_and_no_other(part: str, change: dict[str, Any]) -> None:
    assert parts_that_differ(key(), key(**change)) == {part}


@pytest.mark.parametrize(
    "change",
    [
        {"dense": replace(FACTS, name="another", parameters=11, bytes=44, context=512, second_per_token=0.2)},
        {"setting": " wanda:50% "},
        {"calibration": CalibrationSpec("self", samples=32, length=128, seed=0)},
        {"seed": 0},
        {"task": replace(LETTERS, name="others", digest="0", notes=("a note",), pooling=Pooling.LAST)},
        {"options": TaskOptions(pooling=Pooling.LAST, refuse_long=True, new_tokens=3)},
    ],
)
def test_what_has_no_effect_changes_nothing(change: dict[str, Any]) -> None:
    assert key() == key(**change)


@pytest.mark.parametrize(
    ("task", "options", "changes"),
    [
        (FIND, TaskOptions(pooling=Pooling.LAST), True),
        (FIND, TaskOptions(pooling=Pooling.MEAN), False),
        (FIND, TaskOptions(refuse_long=True), True),
        (FIND, TaskOptions(new_tokens=3), False),
        (SAY, TaskOptions(new_tokens=3), True),
        (SAY, TaskOptions(pooling=Pooling.LAST, refuse_long=True), False),
    ],
)
def test_only_the_options_that_a_task_reads_count(task: ItemSet, options: TaskOptions, changes: bool) -> None:
    assert parts_that_differ(key(task=task), key(task=task, options=options)) == ({"task"} if changes else set())


@pytest.mark.parametrize(
    ("change", "changes"),
    [
        ({"prompt": "Who?"}, True),
        ({"raw": True}, True),
        ({"follow": Follow.FREE}, True),
        ({"steps": 3}, True),
        ({"sampling": Sampling(temperature=0.8, seed=5)}, True),
        ({"sampling": Sampling(temperature=0.7, top_k=3, seed=5)}, True),
        ({"name": "another"}, False),
    ],
)
def test_a_prompt_and_how_it_is_stepped(change: dict[str, Any], changes: bool) -> None:
    assert parts_that_differ(key(task=SAMPLED), key(task=replace(SAMPLED, **change))) == (
        {"task"} if changes else set()
    )


def test_the_seed_counts_only_where_something_is_drawn_by_it() -> None:
    still = "magnitude:0.5"
    assert key(setting=still, seed=0).seed == key(setting=still, seed=1).seed == ""
    assert key(setting=still, task=PROMPT, seed=1).seed == ""
    assert key(setting="random:0.5", seed=0).seed != key(setting="random:0.5", seed=1).seed
    assert key(setting="random:0.5").seed == key(setting="random:0.5", seed=0).seed != ""
    tokens = [key(setting=still, task=SAMPLED, seed=seed).seed for seed in (None, 5, 6)]
    assert tokens[0] == tokens[1] != tokens[2]


def test_a_setting_that_needs_no_calibration_has_none() -> None:
    for setting in ("magnitude:0.5", "random:0.5", "drop-attn@layers=1"):
        assert key(setting=setting, calibration=CalibrationSpec(samples=3)).calibration == ""
    assert key(setting="drop-attn:1").calibration != ""


def test_the_default_length_is_limited_by_the_context() -> None:
    short = replace(FACTS, context=64)
    assert key(dense=short).calibration == key(dense=short, calibration=CalibrationSpec(length=64)).calibration
    assert key(dense=short).calibration != key().calibration


def test_the_demo_models_text_that_ships_is_another_text() -> None:
    assert parts_that_differ(key(), key(spec="demo")) == {"calibration"}
    seeded = CalibrationSpec(seed=7)
    assert key(spec="demo", calibration=seeded) == key(calibration=seeded), "no text ships for this seed"


@pytest.mark.parametrize(
    ("make", "part"),
    [
        (lambda path: {"calibration": CalibrationSpec(path)}, "calibration"),
        (lambda path: {"setting": f"magnitude:table={path}"}, "setting"),
        (lambda path: {"setting": f"magnitude:0.5+restore:0.1@file={path}"}, "setting"),
    ],
)
def test_a_file_counts_by_its_content(tmp_path: Path, make: Callable[[str], dict[str, Any]], part: str) -> None:
    names = [str(tmp_path / name) for name in ("one.txt", "same.txt", "other.txt")]
    for name, content in zip(names, ("3 0.5", "3 0.5", "3 0.6"), strict=True):
        Path(name).write_text(content)
    one, same, other = (key(**make(name)) for name in names)
    assert one == same
    assert parts_that_differ(one, other) == {part}


def test_a_given_text_is_read_from_its_beginning_unless_there_is_a_seed(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text")
    text = CalibrationSpec(str(tmp_path / "text.txt"))
    assert key(calibration=text).seed == ""
    assert len({key(calibration=text, seed=seed).seed for seed in (None, 0, 1)}) == 3
