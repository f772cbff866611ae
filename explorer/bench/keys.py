"""Measures keys from outside: the time from writing a key into a terminal until the bytes of what it paints have come.

The program runs in a process of its own, in a pseudo-terminal, as it is for a person: what a model computes, what
Python collects and what the system does meanwhile are in the times. `python -m explorer.bench.keys [SETTING]` measures
the demo model.
"""

from __future__ import annotations

import os
import re
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random

from rich.console import Console
from rich.table import Table

from explorer.words.defaults import DEFAULT_PRUNE
from probes.schema.errors import Failure
from probes.schema.prune_setting import parse
from probes.schema.spec import PairSpec

SIZE = 120, 36
KEYS = 60
"""Keys a timing."""
QUANTILE = 0.95
LIMITS = {"at rest": 0.045, "running": 0.045}
"""The most seconds that 95 of 100 keys may take."""
LARGEST = 0.100
"""The most seconds that any key may take."""
STEPS = 4_000
"""The length of the run, which no timing reaches."""
LEFT, RIGHT = "\x1b[D", "\x1b[C"
PROMPT = "Count: " + " ".join(map(str, range(1, 40)))
"""A text that the model goes on with and does not end."""


@dataclass(frozen=True, slots=True)
class KeyTimes:
    """The seconds of each key, in the order in which they were pressed."""

    doing: str
    steps: int
    """Steps on the screen when the first key was pressed."""
    seconds: tuple[float, ...]

    def quantile(self, share: float) -> float:
        """The time that this share of the keys took at most."""
        return sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


class InTerminal:
    """A program in a pseudo-terminal."""

    def __init__(self, command: Sequence[str], size: tuple[int, int] = SIZE, env: Mapping[str, str] | None = None):
        import fcntl
        import pty
        import struct
        import termios

        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", size[1], size[0], 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            list(command),
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**kept, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})},
        )
        os.close(slave)
        self.read = b""
        """Everything since the last key."""

    def press(self, key: str) -> float:
        """Writes a key and returns when."""
        self.read = b""
        begun = time.perf_counter()
        os.write(self._master, key.encode())
        return begun

    def until(self, pattern: str, seconds: float = 60) -> float:
        """Reads until this has come since the last key, and returns when. Raises `Failure` if it never comes."""
        wanted, end = re.compile(pattern.encode()), time.perf_counter() + seconds
        while wanted.search(self.read) is None:
            if not self._take(max(0.0, end - time.perf_counter())):
                shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", " ", self.read.decode(errors="replace"))[-400:]
                raise Failure("Not measured", f"{pattern!r} did not come: {' '.join(shown.split())}", "Try it again.")
        return time.perf_counter()

    def rest(self, seconds: float) -> bytes:
        """Reads for so long and returns what came meanwhile."""
        before, end = len(self.read), time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0 and self._take(left):
            pass
        time.sleep(max(0.0, end - time.perf_counter()))
        return self.read[before:]

    def _take(self, seconds: float) -> bool:
        """Takes what comes within so many seconds; False if nothing did."""
        if not select.select([self._master], [], [], seconds)[0]:
            return False
        try:
            found = os.read(self._master, 1 << 16)
        except OSError:  # the program has ended
            return False
        self.read += found
        return bool(found)

    def close(self) -> None:
        """Ends the program and all that it has started."""
        for ended_by in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is None:
                os.killpg(self.process.pid, ended_by)
                try:
                    self.process.wait(5)
                except subprocess.TimeoutExpired:
                    continue
        os.close(self._master)


@contextmanager
def explorer_in_terminal(
    arguments: Sequence[str], size: tuple[int, int] = SIZE, folder: str | None = None
) -> Iterator[InTerminal]:
    """The explorer with these arguments; what it records is removed afterwards, unless a folder is named."""
    with tempfile.TemporaryDirectory(prefix="phier-keys-") as made:
        # Its session's own terminal: if the benchmark ends, the program hears of it and ends too.
        own = "import fcntl, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0)"
        program = f"{own}; from explorer.cli.main import phier_tui; phier_tui()"
        env = {"PHIER_RECORDINGS": folder or made}
        terminal = InTerminal([sys.executable, "-c", program, *arguments], size, env)
        try:
            yield terminal
        finally:
            terminal.close()


def arguments_of(spec: PairSpec) -> list[str]:
    """The options that open the explorer on a pair of models."""
    load = spec.load
    found = ["--dense", spec.dense, "--prune", str(spec.prune), "--prompt", PROMPT, "--steps", f"{STEPS}"]
    found += ["--device", load.device] if load.device != "auto" else []
    return found + (["--threads", f"{load.threads}"] if load.threads else [])


def key_times(spec: PairSpec, *, keys: int = KEYS, loading: float = 300.0) -> list[KeyTimes]:
    """Times ← and → while the models step, and once they are paused. Raises `Failure` if the explorer does not get
    so far, or where there are no pseudo-terminals."""
    if os.name != "posix":
        raise Failure("Not measured", "This system has no pseudo-terminals.", "Use Linux or macOS.")
    with explorer_in_terminal(arguments_of(spec)) as terminal:
        terminal.until("ready", loading)
        terminal.rest(0.5)
        terminal.press(" ")
        terminal.until(r"step ([4-9]|\d\d+)/", loading)
        running = _timed(terminal, "running", keys)
        terminal.until("▶", 10)  # still
        terminal.press(" ")
        terminal.until("paused")
        terminal.rest(1.0)
        return [_timed(terminal, "at rest", keys), running]


def _timed(terminal: InTerminal, doing: str, keys: int) -> KeyTimes:
    """Moves the cursor back once, then to and fro. Each of its places is in the title, and only a key changes it."""
    dice = Random(0)
    terminal.press(LEFT)
    terminal.until("behind")
    terminal.rest(0.5)
    first, found = int(re.findall(rb"step (\d+)/", terminal.read)[-1]), list[float]()
    for at in range(keys):
        place = first if at % 2 else first - 1
        begun = terminal.press(RIGHT if at % 2 else LEFT)
        found.append(terminal.until(f"step {place}/") - begun)
        terminal.rest(dice.uniform(0.03, 0.13))
    return KeyTimes(doing, first, tuple(found))


def key_table(times: Sequence[KeyTimes]) -> Table:
    """The times, each beside its limit."""
    table = Table("screen", "median", "95 %", "limit", "largest", "limit", title="From a key to its paint, ms")
    for one in times:
        middle, most, largest = (f"{1000 * one.quantile(share):.0f}" for share in (0.5, QUANTILE, 1))
        table.add_row(one.doing, middle, most, f"{1000 * LIMITS[one.doing]:.0f}", largest, f"{1000 * LARGEST:.0f}")
    return table


if __name__ == "__main__":
    setting = parse(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_PRUNE)
    Console().print(key_table(key_times(PairSpec(prune=setting))))
