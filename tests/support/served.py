"""The program served to a browser: its server, its tabs' processes, and the screen of a tab."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil

from tests.support.browser import Browser

_SEEN = """Object.defineProperty(Object.prototype, 'fitAddon', {configurable: true, set(made) {
    Object.defineProperty(this, 'fitAddon', {value: made, writable: true});
    window.shown = this.terminal;
}})"""
"""Keeps the page's terminal when it is made, so that its text can be read."""
_SCREEN = """(() => {
    const shown = window.shown, lines = [];
    for (let row = 0; shown && row < shown.rows; row++)
        lines.push(shown.buffer.active.getLine(row)?.translateToString(true, 0, shown.cols) ?? '');
    return lines.join('\\n');
})()"""
_CELLS = (
    "(() => { const box = document.querySelector('.xterm-screen').getBoundingClientRect();"
    " return [box.x, box.y, box.width / shown.cols, box.height / shown.rows]; })()"
)
PATIENCE = 60.0
"""Seconds that anything may take on a busy machine."""


def until(holds: Callable[[], object], what: Callable[[], str]) -> None:
    """Waits until a condition holds; fails with what there is instead."""
    end = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > end:
            raise AssertionError(f"It did not come within {PATIENCE:.0f} s; there is:\n{what()}")
        time.sleep(0.03)


class Served:
    """A server that is running, and whose address is known."""

    def __init__(self, *arguments: str, env: Mapping[str, str], log: Path) -> None:
        command = [sys.executable, "-c", "from explorer.cli.main import phier_tui; phier_tui()", "--serve", *arguments]
        self._log = log
        with log.open("w") as out:
            self.process = subprocess.Popen(command, env={**os.environ, **env}, stdout=out, stderr=subprocess.STDOUT)
        until(lambda: "Ctrl+C" in self.said() or self.process.poll() is not None, self.said)
        assert self.process.poll() is None, self.said()
        self.address = self.said().split()[1].partition("?")[0]

    def __enter__(self) -> Served:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def said(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        return int(self.address.rstrip("/").rpartition(":")[2])

    def tabs(self) -> list[int]:
        """The processes of its tabs."""
        found = psutil.Process(self.process.pid).children()
        return [one.pid for one in found if "explorer.serve.tab" in " ".join(_command(one))]

    def stop(self) -> int:
        """Ends the server as Ctrl+C does, and returns its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


def _command(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # it has just ended
        return []


class Page:
    """A tab of the browser on the served program."""

    def __init__(self, browser: Browser, *, new: bool = True) -> None:
        self.browser = browser
        self.tab = browser.new_tab() if new else browser.tab
        browser.before_pages(_SEEN)

    def go(self, address: str) -> Page:
        self.browser.go(address)
        return self

    def show(self) -> Page:
        self.browser.show_tab(self.tab)
        return self

    def screen(self) -> str:
        """The text of the terminal in the page."""
        return str(self.browser.value(_SCREEN))

    def until(self, what: str | Callable[[str], object]) -> str:
        """The screen as soon as it shows a text or meets a condition."""
        until(lambda: what in (now := self.screen()) if isinstance(what, str) else what(self.screen()), self.screen)
        return self.screen()

    def said(self) -> str:
        """The sentence over the terminal; "" if there is none."""
        shown = "getComputedStyle(document.getElementById('said')).display"
        return str(self.browser.value(f"{shown} === 'none' ? '' : document.getElementById('said').innerText"))

    def until_said(self, sentence: str) -> None:
        until(lambda: sentence in self.said(), lambda: f"{self.said()!r} over\n{self.screen()}")

    def click_on(self, text: str) -> None:
        """Clicks on the first place where the screen shows a text."""
        row, line = next((row, line) for row, line in enumerate(self.screen().splitlines()) if text in line)
        x, y, width, height = self.browser.value(_CELLS)
        self.browser.click_at(x + (line.index(text) + 0.5) * width, y + (row + 0.5) * height)
