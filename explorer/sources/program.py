"""The name by which a shell finds the commands of this project."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

PROGRAMS = ("phier", "phier-tui")


def program(name: str) -> str:
    """The name of a command; if it is not on the PATH, as in an environment that is not active, its path."""
    run = Path(sys.argv[0])
    if shutil.which(name) is not None or run.stem not in PROGRAMS:
        return name
    beside = run.absolute().with_name(f"{name}{run.suffix}")
    return str(beside) if os.access(beside, os.X_OK) else name
