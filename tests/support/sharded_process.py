"""Runs commands of `phier` in one of the processes that torchrun started, one after another; the first process writes
what each of them printed."""

from __future__ import annotations

import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import click

from explorer.cli.main import phier
from probes.system.ranks import rank


def outcome(arguments: list[str]) -> dict[str, Any]:
    """The exit code of a command, and what it printed."""
    out, err = (TextIOWrapper(BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with redirect_stdout(out), redirect_stderr(err):
        try:
            code = phier.main(arguments, standalone_mode=False) or 0
        except click.exceptions.Exit as problem:
            code = problem.exit_code
        except SystemExit as problem:
            code = int(problem.code or 0)
    return {"code": code, **{name: one.buffer.getvalue().decode() for name, one in (("out", out), ("err", err))}}


if __name__ == "__main__":
    asked, answers = map(Path, sys.argv[1:])
    found = [outcome(arguments) for arguments in json.loads(asked.read_text())]
    answers.with_suffix(f".{rank()}.json").write_text(json.dumps(found))
