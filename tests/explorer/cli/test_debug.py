"""A command ends in a sentence whatever happens; --debug adds the traceback."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from explorer.cli.main import phier, phier_tui
from explorer.cli.options import ShellCommand
from explorer.recordings.shipped import shipped_folder
from explorer.sources.shown_errors import remember_shown
from probes.schema.errors import BadInput

COMMANDS = [[name] for name in phier.commands]


@pytest.mark.parametrize("name", [*COMMANDS, []], ids=" ".join)
def test_every_command_has_the_option(name: list[str]) -> None:
    shown = CliRunner().invoke(phier if name else phier_tui, [*name, "--help"], env={"COLUMNS": "200"})
    assert "--debug" in shown.stdout


def command(problem: BaseException, *arguments: str) -> tuple[int, str]:
    """The exit code and the errors of a command that fails so."""

    @click.command(cls=ShellCommand)
    def fail(_typed: object) -> None:
        raise problem

    ended = CliRunner().invoke(fail, list(arguments))
    return ended.exit_code, ended.stderr


@pytest.mark.parametrize(
    ("problem", "code", "sentence"),
    [
        (BadInput("Model", "It is none.", "Name one."), 2, "Model: It is none. Name one.\n"),
        (KeyError("x\x1b[2J"), 1, "Unexpected error: KeyError: 'x\\x1b[2J'. Run it with --debug to see where.\n"),
        (EOFError(), 1, "Unexpected error: EOFError. Run it with --debug to see where.\n"),
        (ValueError("a\x1b[2J\nb"), 1, "Unexpected error: a␛[2J b. Run it with --debug to see where.\n"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_an_error_is_a_sentence_and_its_traceback_only_comes_when_asked_for(
    problem: BaseException, code: int, sentence: str
) -> None:
    assert command(problem) == (code, sentence)
    ended, told_of = command(problem, "--debug")
    assert ended == code
    assert told_of.startswith("Traceback (most recent call last):\n")
    assert told_of.endswith(sentence)
    assert "\x1b" not in told_of


def test_what_failed_behind_a_screen_is_traced_when_it_closes() -> None:
    @click.command(cls=ShellCommand)
    def look(_typed: object) -> None:
        remember_shown(BadInput("Model", "It is none."))

    assert CliRunner().invoke(look, []).stderr == ""
    assert "BadInput: Model: It is none." in CliRunner().invoke(look, ["--debug"]).stderr


def test_names_that_are_too_long_for_the_disk_are_a_sentence(tmp_path: Path) -> None:
    long = "x" * 300
    for arguments in (
        ["compare", long, long],
        ["export", long, "--to", "csv"],
        ["run", "--record", long],
        ["prune", "--prune", "magnitude:0.5", "--out", long],
        ["export", str(shipped_folder() / "mild.jsonl"), "--to", "csv", "--out", long],
    ):
        ended = CliRunner().invoke(phier, arguments)
        assert ended.exit_code in (1, 2), arguments
        assert "Traceback" not in ended.stderr
        assert "Unexpected" not in ended.stderr
        assert ended.stderr


def test_what_was_typed_is_quoted_by_marks(tmp_path: Path) -> None:
    typed = "\x1b]0;evil\x07\u202e\x9b"
    folder = tmp_path / typed
    folder.mkdir()
    (folder / "a").touch()
    for arguments in (
        ["run", "--calibration", typed],
        ["run", "--calibration", str(folder)],
        ["run", "--prune", f"wanda:{typed}"],
        ["run", "--until", typed],
        ["prune", "--prune", "magnitude:0.5", "--out", str(folder)],
    ):
        ended = CliRunner().invoke(phier, arguments)
        assert ended.exit_code == 2, arguments
        assert "]0;evil" in ended.stderr
        assert not set("\x1b\x07\u202e\x9b") & set(ended.stderr)


@pytest.mark.parametrize("setting", [f"magnitude:0.5@layers={'9' * 5000}", f"magnitude:{'9' * 5000}:4", "drop-attn:²"])
def test_a_number_that_none_can_read_is_a_setting_at_fault(setting: str) -> None:
    ended = CliRunner().invoke(phier, ["run", "--prune", setting])
    assert ended.exit_code == 2
    assert ended.stderr.startswith("Prune setting: ")
