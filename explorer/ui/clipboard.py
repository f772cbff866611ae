"""The way to the clipboard: the terminal's escape sequence (OSC 52), tmux's buffer, or a file.

No terminal says whether it has taken a text. So the sentences say what was sent, and where the text is for certain.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from probes.schema.errors import Failure
from probes.system.user_folders import recordings_folder

LONGEST = 74_994
"""Bytes that fit into a sequence of 100,000 once they are in base64, which is the most that common terminals take."""
_TMUX_SECONDS = 3


class Way(Enum):
    """How a text can leave the program."""

    SEQUENCE = "the terminal's escape sequence"
    TMUX = "tmux's buffer, which tmux passes on to the terminal"
    NONE = "a file alone"


@dataclass(frozen=True, slots=True)
class Route:
    """The way to the clipboard from here."""

    way: Way
    doubt: str = ""
    """A sentence on why the text may not arrive; it is then in a file as well."""


def route(environment: Mapping[str, str]) -> Route:
    """The way to the clipboard by what the environment says of the terminal."""
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("STY"):
        return Route(Way.NONE, "GNU screen does not reach the clipboard.")
    if environment.get("TMUX"):
        return Route(Way.TMUX)
    if program == "Apple_Terminal":
        return Route(Way.NONE, "Apple's Terminal lets no program reach the clipboard.")
    if term in ("linux", "dumb"):
        return Route(Way.NONE, "This terminal has no clipboard.")
    if environment.get("VTE_VERSION"):
        return Route(Way.SEQUENCE, "Many versions of this terminal (VTE) ignore it.")
    if term.startswith(("tmux", "screen")):
        return Route(Way.SEQUENCE, "A tmux outside of this connection passes it on only with: set -s set-clipboard on.")
    return Route(Way.SEQUENCE)


def to_tmux(text: str) -> str:
    """Puts a text into tmux's buffer and asks tmux to pass it on to the terminal's clipboard. Returns a sentence on why
    that is not possible, "" if it is. Raises `Failure` if tmux does not take the text.

    tmux ignores the sequence of a program in it unless `set-clipboard` is `on`; what it is told itself, it passes on.
    """
    try:
        done = _tmux("load-buffer", "-w", "-", text=text)
        if done.returncode:  # before 3.2 it can't pass it on
            done = _tmux("load-buffer", "-", text=text)
            done.check_returncode()
            return "This tmux is too old to pass it on to the terminal."
        if _tmux("show-options", "-sv", "set-clipboard").stdout.strip() == "off":
            return "tmux's set-clipboard is off, so the terminal does not get it."
    except (OSError, subprocess.SubprocessError) as problem:
        raise Failure("Not copied", f"tmux did not take it: {problem}.") from problem
    return ""


def _tmux(*words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["tmux", *words], input=text, capture_output=True, encoding="utf-8", timeout=_TMUX_SECONDS, check=False
    )


def copies_folder() -> Path:
    """The folder for what is copied into files, beside the recordings."""
    return recordings_folder() / "copies"


def write_copy(text: str, stem: str, ending: str) -> Path:
    """Writes a text into a new file of that name, or with a number behind it: beside the recordings, else in the folder
    for temporary files. Raises `Failure` if neither can be written."""
    problems = []
    for folder in (copies_folder(), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for number in range(1, 10_000):
                path = folder / (f"{stem}.{ending}" if number == 1 else f"{stem}-{number}.{ending}")
                try:
                    with path.open("x", encoding="utf-8", newline="") as file:
                        file.write(text)
                except FileExistsError:
                    continue
                return path
        except OSError as problem:
            problems.append(f"{folder}: {problem.strerror}")
    raise Failure("Not written", f"No file could be written ({'; '.join(problems)}).", "Free some space.")
