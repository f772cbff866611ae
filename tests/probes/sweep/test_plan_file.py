"""Plans in TOML: read, refused and written again."""

from __future__ import annotations

from pathlib import Path

import pytest

from probes.schema.errors import BadInput
from probes.schema.items import Way
from probes.schema.settings import Follow, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions
from probes.schema.sweep import PromptTask, SweepPlan
from probes.schema.task_options import Pooling, TaskOptions
from probes.sweep.plan_check import check_plan
from probes.sweep.plan_file import plan_from_toml, plan_toml, read_plan
from probes.sweep.settings import swept_settings

FULL = SweepPlan(
    settings=swept_settings('wanda:{0.1..0.3/0.1},drop-attn:{1..2},magnitude:table="a{b}.txt"'),
    dense='a folder/with "quotes" \x7f é \U0001f600',
    tasks=("facts", "mine.jsonl"),
    prompts=(
        PromptTask("prompt 1", "Why?\nBecause."),
        PromptTask("tale", "Once", raw=True, follow=Follow.FREE, steps=3, sampling=Sampling(temperature=0.5, seed=4)),
    ),
    seeds=(0, 3),
    most=7,
    way=Way.LETTER,
    margin=0.05,
    level=0.9,
    load=LoadOptions(dtype="float64", threads=1),
    calibration=CalibrationSpec("text.txt", samples=4),
    options=TaskOptions(pooling=Pooling.LAST, new_tokens=5),
)


@pytest.mark.parametrize("plan", [FULL, SweepPlan(swept_settings("wanda:0.5"))])
def test_a_plan_is_read_as_it_was_written(plan: SweepPlan) -> None:
    assert plan_from_toml(plan_toml(plan)) == plan


def test_what_is_left_out_has_its_default() -> None:
    assert plan_from_toml('settings = "wanda:0.5"') == SweepPlan(swept_settings("wanda:0.5"))
    assert plan_toml(SweepPlan(swept_settings("wanda:{0.1,0.2}"))) == 'settings = ["wanda:{0.1,0.2}"]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings = [", "not TOML"),
        ("setings = []", "unknown name 'setings'. Did you mean settings?"),
        ("[load]\nthread = 1", "[load] has the unknown name 'thread'. Did you mean threads?"),
        ("settings = [1]", "settings is not a list of texts"),
        ('settings = ["wanda:{0.1..0.7}"]', "The step is missing"),
        ("most = 0", "most: Expected `int` >= 1"),
        ('seeds = ["a"]', "seeds: Expected `int`, got `str`"),
        ('way = "both"', "way: Invalid enum value 'both'"),
        ("[load]\nthreads = -1", "-1 threads can't be used"),
        ("load = 1", "[load] is not a table"),
        ("[[prompts]]\nsteps = 3", "[[prompts]] 1 has no prompt"),
        ('[[prompts]]\nprompt = "a"\nstep = 3', "[[prompts]] 1 has the unknown name 'step'. Did you mean steps?"),
        ("prompts = 1", "prompts is not a list of tables"),
    ],
)
def test_a_mistake_is_named(text: str, message: str) -> None:
    with pytest.raises(BadInput) as raised:
        plan_from_toml(text)
    assert message in str(raised.value)


def test_a_file_that_is_no_plan_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes(b"\xe9")
    for path in (tmp_path, tmp_path / "none.toml", tmp_path / "latin.toml"):
        with pytest.raises(BadInput, match="can't be read"):
            read_plan(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ("", "has no settings"),
        ('settings = ["wanda:{0.1,0.2}", "wanda:0.2"]', "The setting wanda:0.2 is in the plan twice"),
        ('settings = ["wanda:0.5"]\nseeds = [1, 1]', "The seed 1 is in the plan twice"),
        ('settings = ["wanda:0.5"]\ntasks = ["facts", "facts"]', "The task facts is in the plan twice"),
        ('settings = ["wanda:0.5"]\ntasks = ["fact"]', "Did you mean facts?"),
        ('settings = ["wanda:0.5"]\ntasks = ["answers"]\nway = "letter"', "no effect without options"),
        ('settings = ["magnitude:table=none.txt"]', "none.txt can't be read"),
        ('settings = ["drop-attn@layers=30"]', "names layer 30"),
        ('settings = ["wanda:0.5"]\nmargin = 1.5', "1.5 is no margin"),
        ('settings = ["wanda:0.5"]\n[calibration]\nsource = "none.txt"', "There is no file none.txt"),
        ('settings = ["wanda:0.5"]\n[[prompts]]\nprompt = ""', "prompt 1 is empty"),
        ('settings = ["wanda:0.5"]\n[[prompts]]\nprompt = "a"\nfollow = "text"', "prompt 1 follows a text"),
        (
            'settings = ["wanda:0.5"]\n[[prompts]]\nprompt = "a"\nname = "b"\n[[prompts]]\nprompt = "c"\nname = "b"',
            "task b",
        ),
        ('settings = ["wanda:0.5"]\ndense = "./none"', "There is no file or folder"),
    ],
)
def test_a_plan_is_checked_before_anything_runs(changed: str, message: str) -> None:
    with pytest.raises(BadInput) as raised:
        check_plan(plan_from_toml(changed))
    assert message in str(raised.value)


def test_a_plan_without_tasks_or_prompts_is_of_all_that_ship() -> None:
    assert [one.name for one in check_plan(plan_from_toml('settings = "wanda:0.5"\nmost = 1'))] == [
        *("facts", "labels", "documents", "answers")
    ]
