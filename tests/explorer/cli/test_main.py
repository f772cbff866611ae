"""The commands: help without torch, bad input as a sentence and exit code 2."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from explorer.cli.main import phier


def command(program: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    code = (
        f"import sys; from explorer.cli.main import {program}; sys.argv[0] = {program.replace('_', '-')!r}; {program}()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=120, check=False, **options
    )


def answered(*arguments: str) -> Result:
    """What the command writes and how it ends, without a process of its own."""
    return CliRunner(env={"COLUMNS": "200"}).invoke(phier, arguments)


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"]])
def test_help_names_the_options_and_exits_well(arguments: list[str]) -> None:
    answer = command("phier", *arguments)
    assert answer.returncode == 0
    assert "run" in answer.stdout


def test_help_of_run_names_every_option_of_a_run() -> None:
    shown = answered("run", "--help").stdout
    sampler = ["temperature", "top-k", "top-p", "seed", "analysis-temperature"]
    placed = ["device", "dtype", "device-map"]
    for option in [
        "dense",
        "pruned",
        "prune",
        "prompt",
        "raw",
        "chat-template",
        "follow",
        "text",
        *sampler,
        "steps",
        "until",
        *placed,
    ]:
        assert f"--{option}" in shown
    assert "--json" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--temperature", "-1"], "not a temperature"),
        (["--until", "never"], "not a condition"),
        (["--prune", "wanda"], "needs an amount"),
        (["--prune", "wnda:0.5"], "not a method"),
        (["--pruned", "x", "--prune", "wanda:0.5"], "Give one of the two"),
        (["--follow", "text"], "needs a text to score"),
        (["--text", "x"], "--follow text"),
        (["--follow", "nobody"], "nobody"),
        (["--steps", "0"], "steps"),
        (["--dense", "/no/such/folder"], "/no/such/folder"),
        (["--follow", "text", "--text", "x", "--prompt", "", "--dense", "/no/such/folder"], "/no/such/folder"),
        (["--prompt", ""], "at least one character"),
        (["--raw", "--chat-template", "short"], "not both"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_a_sentence_on_standard_error_and_exit_code_2(arguments: list[str], words: str) -> None:
    answer = answered("run", *arguments)
    assert answer.exit_code == 2, answer.stderr
    assert words in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


def test_bad_input_is_that_of_the_program_too() -> None:
    answer = command("phier", "run", "--prune", "wnda:0.5")
    assert answer.returncode == 2, answer.stderr
    assert "not a method" in answer.stderr
    assert "Traceback" not in answer.stderr
    assert answer.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["prune", "--prune", "wanda:0.5"], "--prune has no effect"),
        (["prune", "--prompt", "Hello"], "--prompt has no effect"),
        (["prune", "--steps", "8"], "--steps"),
        (["steps", "--steps", "8"], "--steps"),
        (["steps", "--prune", "wanda:0.5", "--prune", "wanda:0.3"], "--prune once"),
        (["speed"], "Unknown benchmark 'speed'"),
        (["steps", "--plants", "3"], "--plants"),
        (["explain", "--prune", "wanda:0.5", "--prune", "wanda:0.3"], "--prune once"),
        (["steps", "--device", "nowhere"], "nowhere"),
        (["methods", "--device", "nowhere"], "nowhere"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_an_option_that_a_bench_would_ignore_or_cannot_use_is_refused(arguments: list[str], words: str) -> None:
    answer = answered("bench", *arguments)
    assert answer.exit_code == 2, answer.stderr
    assert words in answer.stderr
    assert answer.stdout == ""


def test_without_a_terminal_the_explorer_says_so() -> None:
    answer = subprocess.run(
        [str(Path(sys.executable).with_name("phier-tui")), "--demo"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        start_new_session=True,
    )
    assert answer.returncode == 2
    assert "needs a terminal" in answer.stderr
    assert answer.stdout == ""


def test_neither_command_loads_torch_to_show_its_help() -> None:
    for program in ("phier", "phier_tui"):
        code = (
            f"import sys; from explorer.cli.main import {program}\n"
            "try: " + program + "(['--help'])\n"
            "except SystemExit: pass\n"
            "assert 'torch' not in sys.modules and 'textual' not in sys.modules, 'too much is loaded'"
        )
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, timeout=60)
