"""`phier-tui` ends at once although a model still computes; else Python shuts down as usual."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import atexit, sys, threading, time
import explorer.ui.app
from explorer.cli import explore
from explorer.cli.main import phier_tui
from explorer.sources.lane import Lane

computing = sys.argv.pop() == "computing"

def opened(*_, **__):
    if computing:
        begun = threading.Event()
        lane = Lane("computing", print)
        lane.put(lambda stopping: (begun.set(), time.sleep(600)))
        begun.wait()
        lane.close(0.0)
    return 3

explorer.ui.app.run_explorer = opened
explore._use_the_terminal = lambda: None
atexit.register(print, "shut down")
explore.open_recording = lambda *_: object()
sys.argv = ["phier-tui", "--demo"]
phier_tui()
"""


@pytest.mark.parametrize(("state", "printed"), [("computing", ""), ("idle", "shut down\n")])
def test_a_computation_in_progress_does_not_abort_the_end(state: str, printed: str) -> None:
    answer = subprocess.run([sys.executable, "-c", PROGRAM, state], capture_output=True, text=True, timeout=60)
    assert (answer.returncode, answer.stdout) == (3, printed), answer.stderr
