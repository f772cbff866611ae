"""The `phier` command, run as a person runs it on a machine without torch."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.support.forked import without_torch

PHIER = "from explorer.cli.main import phier; phier()"


def phier(*words: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """The command on a machine that has no torch, with `folder` as the working folder and that of recordings."""
    environment = {**os.environ, "PHIER_RECORDINGS": str(folder), "COLUMNS": "200"}
    done = without_torch().run(PHIER, *words, cwd=folder, env=environment, timeout=60)
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())
