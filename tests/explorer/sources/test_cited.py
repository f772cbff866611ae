"""The command and the Python lines of a run measure its figures again, run as they are copied."""

from __future__ import annotations

import contextlib
import io
import json
import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from explorer.cli.main import phier
from explorer.sources.cited import explain_command, python_lines, run_command, verdict_command
from probes.pair import Pair, load_pair
from probes.schema.flat_step import to_jsonable
from probes.schema.header import RunHeader
from probes.schema.prune_setting import parse
from probes.schema.record import StepRecord
from probes.schema.settings import Follow, RunSettings, Sampling
from probes.schema.spec import CalibrationSpec, LoadOptions, PairSpec
from probes.schema.watch import parse_watch
from tests.support.tiny import byte_tokenizer, save, tiny

SAMPLED = RunSettings(
    'the "ing" \n$HOME é',
    follow=Follow.FREE,
    sampling=Sampling(temperature=0.8123456789, top_k=40, top_p=0.9, seed=7),
    watch=parse_watch('a,b|" "|#9'),
    steps=30,
)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("model with spaces")
    save(folder, tiny("llama", vocab_size=len(byte_tokenizer())), byte_tokenizer())
    calibration = CalibrationSpec(samples=2, length=16, seed=3)
    return load_pair(
        PairSpec(str(folder), prune=parse("wanda:0.5"), calibration=calibration, load=LoadOptions(threads=1))
    )


def stepped(pair: Pair, settings: RunSettings, steps: int, **forced: int) -> tuple[RunHeader, list[StepRecord]]:
    """A run; `forced` is forced at its third step."""
    prompt = pair.prompt(settings)
    with pair.lockstep(settings, prompt) as lockstep:
        for number in range(1, steps + 1):
            lockstep.step(**forced if number == 3 else {})
        return pair.header(settings, prompt), list(lockstep.path)


def measured_by(lines: str) -> dict[str, Any]:
    """Runs the lines; the names that they leave."""
    names: dict[str, Any] = {}
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(lines, names)
    assert "HiddenFigures(" in printed.getvalue()
    return names


def close(one: object, other: object) -> bool:
    """The same data, with figures equal but for the last bits, which follow from the number of threads."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return one == pytest.approx(other, rel=1e-3, abs=1e-5)
    return one == other


def test_the_python_lines_measure_the_same_step(pair: Pair) -> None:
    header, path = stepped(pair, SAMPLED, 5)
    names = measured_by(python_lines(header, path))
    assert len(names["lockstep"].path) == 5
    assert close(to_jsonable(names["step"]), to_jsonable(path[-1]))


def test_the_python_lines_force_what_was_forced(pair: Pair) -> None:
    header, path = stepped(pair, SAMPLED, 5, dense=70, pruned=80)
    assert run_command(header, path) == explain_command(header, path, 4, None) == ""
    assert run_command(header, path[:2]), "nothing was forced up to here"
    names = measured_by(python_lines(header, path))
    assert [one.taken.token_id for one in names["lockstep"].path] == [one.taken.token_id for one in path if one.taken]
    assert close(to_jsonable(names["step"]), to_jsonable(path[-1]))


def test_the_command_prints_the_same_steps(pair: Pair, capsys: pytest.CaptureFixture[str]) -> None:
    header, path = stepped(pair, SAMPLED, 4)
    program, command, *words = shlex.split(run_command(header, path))
    assert (program, command) == ("phier", "run")
    printed = run(["run", *words, "--json"], capsys)
    assert len(printed) == 5, "four steps and the summary"
    assert close(printed[:4], json.loads(json.dumps([to_jsonable(step) for step in path])))


def test_the_command_that_explains_names_the_step(pair: Pair) -> None:
    header, path = stepped(pair, SAMPLED, 4)
    words = shlex.split(explain_command(header, path, 3, None))
    assert words[:2] == ["phier", "explain"]
    assert words[-2:] == ["--at", "3"]
    assert shlex.split(explain_command(header, path, 2, 4))[-2:] == ["--span", "2:4"]
    phier.commands["explain"].make_context("explain", words[2:])
    judged = shlex.split(verdict_command(header, ["facts", "tone"], 0.02, 0.95))
    assert judged[judged.index("--tasks") + 1] == "facts,tone"
    phier.commands["verdict"].make_context("verdict", judged[2:])


def test_a_header_that_names_no_models_gives_nothing(pair: Pair) -> None:
    header, path = stepped(pair, RunSettings("abc"), 1)
    nameless = replace(header, dense=replace(header.dense, spec=""))
    assert run_command(nameless, path) == python_lines(nameless, path) == ""
    assert verdict_command(nameless, (), 0.02, 0.95) == ""
    assert run_command(header, []) == ""


def run(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> list[Any]:
    """Runs a command of `phier` here; the objects that it prints."""
    capsys.readouterr()
    with contextlib.suppress(SystemExit):
        phier.main(list(words), "phier")
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_the_words_of_the_command_need_no_quoting_by_hand(pair: Pair, tmp_path: Path) -> None:
    header, path = stepped(pair, SAMPLED, 1)
    assert "model with spaces" in run_command(header, path)
    compile(python_lines(header, path), str(tmp_path / "lines.py"), "exec")
