"""The `phier` command, run as a person runs it on a machine without torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

WITHOUT_TORCH = """
import sys
sys.modules["torch"] = sys.modules["transformers"] = None
from explorer.cli.main import phier
phier()
"""


def phier(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command on a machine that has no torch, with `folder` as the working folder and that of recordings."""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root, "PHIER_RECORDINGS": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, *map(str, words)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
