"""What is measured in a new process is measured in a fork that has imported everything, except in test_alone.py."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from tests.support.forked import with_torch

MODULE = "import runpy, sys; del sys.argv[0]; runpy.run_module(sys.argv[0], run_name='__main__', alter_sys=True)"


def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
    python, switch, *words = command
    assert (python, switch) == (sys.executable, "-m")
    done = with_torch().run(MODULE, *words)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def measured_in_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("probes.bench.alone.subprocess", SimpleNamespace(run=run))
