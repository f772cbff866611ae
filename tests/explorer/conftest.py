"""Tests of screens wait for what is left to do on them, and share what is parsed of their style sheets."""

from __future__ import annotations

import pytest
import textual.app
import textual.pilot
from textual.css.stylesheet import Stylesheet

from tests.support.quiet import parsed_once, quiet


@pytest.fixture(autouse=True)
def _quick_screens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(textual.app, "wait_for_idle", quiet)
    monkeypatch.setattr(textual.pilot, "wait_for_idle", quiet)
    monkeypatch.setattr(textual.pilot.Pilot, "_wait_for_screen", quiet)
    monkeypatch.setattr(Stylesheet, "_parse_rules", parsed_once)


@pytest.fixture(autouse=True)
def _a_terminal_with_a_clipboard(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is copied goes by the escape sequence, wherever the tests run; none reaches the tmux of who runs them."""
    for variable in ("TMUX", "STY", "TERM_PROGRAM", "VTE_VERSION"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
