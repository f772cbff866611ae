"""The process of one browser tab: the explorer, drawn through pipes, behind a fence of folders."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from textual import events, messages
from textual.drivers.web_driver import WebDriver

from explorer.serve.told import Told, told_here
from explorer.sources.launcher import Launcher
from explorer.sources.source import Source
from explorer.state.typed_history import remember_here_alone
from explorer.ui.app import ExplorerApp
from probes.system.fence import set_fence
from probes.system.user_folders import RECORDINGS_VARIABLE


class TabDriver(WebDriver):
    """Draws for the server, and ends the program when the server has gone."""

    def __init__(self, *given: object, **named: object) -> None:
        super().__init__(*given, **named)  # type: ignore[arg-type]
        self._write = self._write_all  # type: ignore[assignment]
        self._focused = False

    def _write_all(self, data: bytes) -> None:
        """Writes a whole packet. Whoever should read it may have gone; then the end of the input ends the program."""
        with suppress(OSError):
            while data:
                data = data[os.write(self.fileno, data) :]

    def start_application_mode(self) -> None:
        """Begins as textual-serve does: without the focus. The page may have told before that it has it."""
        super().start_application_mode()
        self._app.call_later(self._tell_focus)

    def _tell_focus(self) -> None:
        if self._focused:
            self._app.post_message(events.AppFocus())

    def on_meta(self, packet_type: str, payload: dict[str, object]) -> None:
        if packet_type in ("focus", "blur"):
            self._focused = packet_type == "focus"
        super().on_meta(packet_type, payload)

    def run_input_thread(self) -> None:
        try:
            super().run_input_thread()
        finally:
            if not self.exit_event.is_set():
                self._app.call_from_thread(self._app.post_message, messages.ExitApp())


def main() -> None:
    """Shows what the server told until the tab is closed."""
    told = told_here()
    within(told)
    remember_here_alone()
    folder = None if told.shipped else Path(told.folder)
    launcher = _launcher(told)
    source = first_source(told)
    if source is None and launcher is not None and told.live:
        source = launcher.begin()
    app = ExplorerApp(source, launcher=launcher, driver=TabDriver, folder=folder, look=told.look, keymap=told.keymap)
    if told.tour:
        app.guide.begin()
    try:
        app.run()
    finally:
        app.close_sources()
    sys.stdout.flush()
    os._exit(0)  # a thread may still be at work on what nobody will see


def _launcher(told: Told) -> Launcher | None:
    if not told.models:
        return None
    from explorer.serve.remote import SharedLauncher

    return SharedLauncher(told.models, bytes.fromhex(told.key))


def within(told: Told) -> None:
    """Keeps this process to the folders that it was told; a path without a beginning is in that of the recordings."""
    from explorer.recordings.shipped import shipped_folder

    folder = Path(told.folder)
    folder.mkdir(parents=True, exist_ok=True)
    os.chdir(folder)
    os.environ[RECORDINGS_VARIABLE] = str(folder)
    set_fence([folder, *map(Path, told.allowed)], [shipped_folder(), *map(Path, told.readable)])


def first_source(told: Told) -> Source | None:
    """What the tab begins with; None is the list of recordings, or a run of the models."""
    from explorer.recordings.opening import open_recording, open_tour

    if told.tour and not told.live:
        return open_tour(told.recording, told.number, told.speed)
    return open_recording(told.recording, told.number, told.demo, told.play, told.speed, told.loop)


if __name__ == "__main__":
    main()
