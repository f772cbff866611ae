"""Runs another program so that it can be watched and stopped at any time."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from probes.system.progress import Work

PATIENCE = 2.0
"""Seconds that a program has to end before it is killed."""
UNWRITTEN = 74
"""The exit code by which a program of this package reports that its output could not be written."""


@dataclass(frozen=True, slots=True)
class Ended:
    """The result of a finished program."""

    code: int
    log: str
    """Its whole output, on both streams."""

    @property
    def last_words(self) -> str:
        """The last line that begins with "error", or else the last line; for a killed program, the signal."""
        if self.code < 0:
            return f"it was ended by signal {-self.code}, which happens if memory runs out"
        lines = [line.strip() for line in self.log.replace("\r", "\n").splitlines() if line.strip()]
        if not lines:
            return f"it ended with code {self.code} and no output"
        return next((line for line in reversed(lines) if line.lower().startswith("error")), lines[-1])


def run(
    command: Sequence[str],
    work: Work,
    task: str,
    *,
    log: Path,
    environment: Mapping[str, str] | None = None,
    watch: Callable[[], None] | None = None,
    every: float = 0.1,
) -> Ended:
    """Runs `command` to its end, and calls `watch` every `every` seconds. Cancelled work ends the program.

    Its output goes to the file `log`, never to the terminal, which may show a screen.
    """
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
    try:
        while process.poll() is None:
            work.check(task)
            if watch is not None:
                watch()
            time.sleep(every)
    finally:
        if process.poll() is None:
            _stop(process)
    return Ended(process.returncode, log.read_text("utf-8", "replace"))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
