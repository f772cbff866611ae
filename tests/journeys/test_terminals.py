"""What reaches a real terminal: keys and paints, timed from outside, and what is copied."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from explorer.bench.keys import _timed, explorer_in_terminal
from explorer.ui.clipboard import to_tmux

pytestmark = pytest.mark.terminal


def test_keys_on_a_recording_are_timed() -> None:
    with explorer_in_terminal(["--demo"]) as terminal:
        terminal.until(r"step \d\d+/")
        found = _timed(terminal, "at rest", 3)
    assert found.steps > 3
    assert len(found.seconds) == 3
    assert all(seconds > 0 for seconds in found.seconds)


def test_a_real_tmux_has_it_in_its_buffer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    socket = tmp_path / "socket"
    start = ["tmux", "-S", str(socket), "-f", "/dev/null"]
    subprocess.run([*start, "new-session", "-d", "sleep 60"], check=True)
    try:
        monkeypatch.setenv("TMUX", f"{socket},1,0")
        assert to_tmux("half é\n\tand more") == ""
        shown = subprocess.run([*start, "show-buffer"], capture_output=True, encoding="utf-8", check=True)
        assert shown.stdout == "half é\n\tand more"
    finally:
        subprocess.run([*start, "kill-server"], check=True)
