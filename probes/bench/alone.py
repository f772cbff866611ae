"""Measures in a new process: a process that has run other work would reuse its freed memory."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from probes.schema.errors import Failure
from probes.system.subprocesses import Ended


def alone(module: str, *arguments: object) -> dict[str, Any]:
    """Runs `python -m module arguments` and reads the JSON object in its last line; raises `Failure` if it fails."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        said = Ended(run.returncode, run.stderr).last_words
        raise Failure(
            "Not measured",
            f"{' '.join(command[1:])} failed: {said}",
            "Run this command yourself to see its whole output.",
        )
    measured: dict[str, Any] = json.loads(run.stdout.splitlines()[-1])
    return measured
