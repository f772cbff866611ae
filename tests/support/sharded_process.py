"""Runs commands of `phier` in one of the processes that torchrun started, one after another; the first process writes
what each of them printed."""

from __future__ import annotations

import json
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

import click

from explorer.cli.main import phier
from probes.system.ranks import rank

LAUNCHED = """
import sys
from torch.distributed.launcher.api import LaunchConfig, elastic_launch
from tests.support.sharded_process import answer

config = LaunchConfig(1, 1, 2, rdzv_backend="c10d", rdzv_endpoint="localhost:0", start_method="fork", max_restarts=0)
elastic_launch(config, answer)(*sys.argv[1:])
"""
"""What torchrun does, with two forks of its process."""


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


def answer(asked: str, answers: str) -> None:
    """What one of the processes does."""
    found = [outcome(arguments) for arguments in json.loads(Path(asked).read_text())]
    Path(answers).with_suffix(f".{rank()}.json").write_text(json.dumps(found))
