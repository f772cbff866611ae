"""Ctrl+C while the program's own modules are imported."""

import subprocess
import sys

_SCRIPT = """
import signal, sys

class Interrupting:
    def find_spec(self, name, path=None, target=None):
        if name == "explorer.cli.verdict":
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
from explorer.cli.main import phier
"""


def test_ctrl_c_while_importing_is_a_sentence_and_130() -> None:
    ended = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "Interrupted before it began.\n")
