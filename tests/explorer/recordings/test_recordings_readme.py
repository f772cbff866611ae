"""The examples in sessions/README.md work, and its recordings are as it describes them."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import msgspec
import pytest

from explorer.recordings.export import export_recordings
from explorer.recordings.library import last_run_of
from explorer.sources.command_line import command_line
from probes.recording import lines, read
from probes.schema.events import StepMeasured
from probes.schema.settings import Follow
from tests.support.programs import missing
from tests.support.records import recorded_events, records, write_events

SESSIONS = Path(__file__).parents[3] / "sessions"
README = (SESSIONS / "README.md").read_text("utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.DOTALL)
PYTHON = [code for language, code in BLOCKS if language == "python"]
SHELL = [line for language, code in BLOCKS if language == "sh" for line in code.splitlines()]
MADE = {Path(line.split()[-1]).name: line for line in SHELL if line.startswith("phier run")}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the README assumes it: the recordings in it, and the tables exported."""
    place = tmp_path_factory.mktemp("readme")
    (place / "sessions").symlink_to(SESSIONS)
    program = str(Path(sys.executable).with_name("phier"))
    for line in SHELL:
        if line.startswith("phier export"):
            subprocess.run([program, *shlex.split(line)[1:]], cwd=place, check=True, capture_output=True)
    return place


IN_TURN = """
import json, sys
sys.modules["torch"] = None
for code in json.loads(sys.argv[1]):
    exec(code, {"__name__": "__main__"})
"""


def run_in_turn(examples: list[str], folder: Path) -> None:
    """Each example as a script of its own, in one program without torch. Fails with the first traceback."""
    for library in {name for code in examples for name in re.findall(r"^import (pandas|polars)", code, re.MULTILINE)}:
        if find_spec(library) is None:
            missing(f"{library} is not installed; `make test` installs it")
    done = subprocess.run(
        [sys.executable, "-c", IN_TURN, json.dumps(examples)],
        cwd=folder,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(SESSIONS.parent), "PATH": ""},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_the_lines_that_read_a_recording_run_as_they_stand(folder: Path) -> None:
    assert len(PYTHON) >= 5
    run_in_turn(PYTHON, folder)


READ_AS_NUMBERS = "assert 'same' not in dir() or same['shared.p.kl'].dtype.is_float()"


@pytest.mark.parametrize("split", [None, 130], ids=["no split", "late split"])
def test_they_run_on_recordings_that_diverge_late_or_never(tmp_path: Path, split: int | None) -> None:
    steps = recorded_events(60 if split is None else 150, follow=Follow.DENSE)
    diverged = records(recorded_events(40))[-1]
    assert not diverged.same_context
    late = [
        replace(one, record=replace(diverged, step=one.record.step))
        if isinstance(one, StepMeasured) and split is not None and one.record.step > split
        else one
        for one in steps
    ]
    (tmp_path / "sessions").mkdir()
    path = write_events(tmp_path / "sessions" / "collapse.jsonl", late)
    assert read(path).notes == []
    for to in ("csv", "parquet"):
        export_recordings([path], to, f"{tmp_path}/tables/")
    run_in_turn([f"{code}\n{'' if split is None else READ_AS_NUMBERS}" for code in PYTHON], tmp_path)


def test_every_recording_is_named_with_the_command_that_makes_it() -> None:
    assert {path.name for path in SESSIONS.glob("*.jsonl")} == set(MADE)
    assert all(f"`{name}`" in README for name in MADE)


@pytest.mark.parametrize("name", MADE)
def test_a_recording_is_what_its_command_makes(name: str) -> None:
    session = read(SESSIONS / name)
    assert session.notes == []
    header = session.last.header
    asked = shlex.split(MADE[name])
    made = shlex.split(command_line(header))
    for option in ("--prune", "--follow"):
        assert asked[asked.index(option) + 1] == made[made.index(option) + 1]
    assert header.settings.steps == int(asked[asked.index("--steps") + 1])
    assert header.dense.spec == "demo"
    assert header.prune is not None
    assert header.prune.zeroed + len(header.prune.dropped) > 0
    assert len(header.dense.fingerprint) == 64


def test_the_recordings_show_what_is_said_of_them() -> None:
    found = {name: last_run_of(SESSIONS / name) for name in MADE}
    assert found["mild.jsonl"].first_split is None
    assert found["mild.jsonl"].survival > 0.5
    for name in ("collapse.jsonl", "dropped-attention.jsonl"):
        assert found[name].first_split is not None
        assert found[name].survival < 0.01
        assert found[name].kl > 10


def test_no_step_takes_more_than_ten_kilobytes() -> None:
    for name in MADE:
        assert max(len(line) for line in (SESSIONS / name).read_bytes().splitlines()[1:]) <= 10_000


def test_every_kind_of_line_is_described() -> None:
    assert {f"`{kind}`" for kind in ("step", *lines._KINDS)} <= set(re.findall(r"^\| (`\w+`) \|", README, re.MULTILINE))


def test_every_name_in_a_step_is_described() -> None:
    raw = (SESSIONS / "dropped-attention.jsonl").read_bytes().splitlines()
    for line in raw[1:]:
        plain = msgspec.json.decode(line)
        if plain["kind"] == "step":
            groups = [value for key, value in plain.items() if isinstance(value, dict) and key != "nonfinite"]
            names = {*plain, *(key for group in groups for key in group)}
            assert {f"`{name}`" for name in names} <= set(re.findall(r"`\w+`", README))
