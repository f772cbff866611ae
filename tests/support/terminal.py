"""A real terminal (tmux) around the real program: keys go in, the screen's text comes out."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path


class Terminal:
    """One program in one tmux session of its own server, so that nobody's other sessions are touched."""

    def __init__(self, *command: str, width: int = 120, height: int = 36, env: Mapping[str, str] | None = None) -> None:
        self._server = f"phier-{uuid.uuid4().hex[:8]}"
        settings = " ".join(f"{name}={shlex.quote(value)}" for name, value in (env or {}).items())
        run = f"env -u COLUMNS -u LINES TERM=tmux-256color COLORTERM=truecolor {settings} {shlex.join(command)}"
        line = f"{run}; echo ended with $?; sleep 600"
        self.begun = time.monotonic()
        self._tmux("-f", "/dev/null", "new-session", "-d", "-x", str(width), "-y", str(height), line)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def keys(self, *keys: str) -> None:
        """Presses keys by tmux's names ("Enter", "F1", "Left", "x")."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Types text as it is."""
        self._tmux("send-keys", "-l", text)

    def screen(self) -> str:
        return self._tmux("capture-pane", "-p")

    def until(self, what: str | Callable[[str], object], seconds: float = 60) -> str:
        """The screen as soon as it shows a text or meets a condition; fails with the last screen otherwise."""
        end = time.monotonic() + seconds
        while True:
            screen = self.screen()
            if what in screen if isinstance(what, str) else what(screen):
                return screen
            if time.monotonic() > end:
                wanted = repr(what) if isinstance(what, str) else "the condition"
                raise AssertionError(f"{wanted} did not come within {seconds} s; the screen was:\n{screen}")
            time.sleep(0.05)

    def resize(self, width: int, height: int) -> None:
        self._tmux("resize-window", "-x", str(width), "-y", str(height))

    def _tmux(self, *arguments: str) -> str:
        answer = subprocess.run(
            ["tmux", "-L", self._server, *arguments], capture_output=True, text=True, check=True, timeout=20
        )
        return answer.stdout


def installed(name: str) -> str:
    """A command of this environment."""
    path = Path(sys.executable).with_name(name)
    assert path.exists(), f"{path} is not there: install the package first"
    return str(path)
