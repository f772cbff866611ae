"""Films the tutorial: the real program in a real terminal (tmux), as one SVG that needs no player.

python docs/film.py     some minutes with the demo model; writes docs/pictures/tutorial.svg

Each different line of the screen is drawn once, and a frame is a list of lines. A frame is shown for as long as the
script holds it, not for as long as the models computed.
"""

from __future__ import annotations

import html
import os
import subprocess
import sys
import tempfile
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.segment import Segment
from rich.style import Style
from rich.terminal_theme import DIMMED_MONOKAI as COLOURS
from rich.text import Text

ROOT = Path(__file__).parents[1]
FILM = Path(__file__).parent / "pictures" / "tutorial.svg"
COLUMNS, ROWS = 100, 30
WIDTH, HEIGHT = 8.4, 18
"""Pixels of a cell."""
PATIENCE = 1800.0
"""Seconds that the program may take for an answer."""
PASSING, PASSING_MOST = 0.25, 7
"""Seconds that a frame is shown which only passes by, and the most of them after one key."""
SCRIPT: tuple[tuple[str, str, float], ...] = (
    ("", "space run", 2.0),
    ("Space", "limit reached", 2.0),
    ("g", "step 5/20", 4.0),
    ("d", "control 0", 4.0),
    ("3", "dense cache", 3.0),
    ("r", "target", 2.0),
    ("Enter", "Giving back", 4.0),
    ("Enter", "+dense", 2.0),
    ("Escape", "+dense", 2.0),
    ("w", "the same 20 steps", 6.0),
)
"""A key, the text that the screen then shows, and for how many seconds it is looked at."""


class Terminal:
    """One program in a tmux server of its own."""

    def __init__(self, command: str, folder: str) -> None:
        self.server = f"film-{uuid.uuid4().hex[:8]}"
        own = f"env -u TMUX PHIER_RECORDINGS={folder} PHIER_CONFIG={folder} TERM=tmux-256color COLORTERM=truecolor"
        self.tmux("-f", "/dev/null", "new-session", "-d", "-x", str(COLUMNS), "-y", str(ROWS), f"{own} {command}")

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self.server, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    def screen(self) -> tuple[str, ...]:
        """The lines, with their escape sequences."""
        lines = self.tmux("capture-pane", "-p", "-e", "-N").split("\n")[:ROWS]
        return tuple(lines + [""] * (ROWS - len(lines)))


@dataclass
class Film:
    """Frames, and the seconds for which each is shown."""

    frames: list[tuple[str, ...]] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def see(self, frame: tuple[str, ...], seconds: float) -> None:
        if self.frames and self.frames[-1] == frame:
            self.seconds[-1] = max(self.seconds[-1], seconds)
        else:
            self.frames.append(frame)
            self.seconds.append(seconds)


def shoot() -> Film:
    """Presses the keys of the script, and keeps what is seen meanwhile."""
    film = Film()
    program = f"{sys.executable} -c 'from explorer.cli.main import phier_tui; phier_tui()' --prune wanda:0.5 --steps 20"
    with tempfile.TemporaryDirectory() as folder:
        terminal = Terminal(program, folder)
        try:
            for key, awaited, hold in SCRIPT:
                if key:
                    terminal.tmux("send-keys", key)
                wait(terminal, film, awaited, passing=bool(key))
                film.see(terminal.screen(), hold)
                print(key or "start", awaited, len(film.frames), file=sys.stderr, flush=True)  # noqa: T201
        finally:
            terminal.tmux("kill-server")
    return film


def wait(terminal: Terminal, film: Film, awaited: str, *, passing: bool) -> None:
    """Until the screen shows a text and no longer changes."""
    end, before = time.monotonic() + PATIENCE, ("",)
    passed: list[tuple[str, ...]] = []
    while True:
        time.sleep(0.7 if awaited else 2.0)
        screen = terminal.screen()
        shown = "\n".join(Text.from_ansi(line).plain for line in screen)
        if awaited in shown and screen == before:
            break
        assert time.monotonic() < end, f"{awaited!r} did not come:\n{shown}"
        if passing and screen != before:
            passed.append(screen)
        before = screen
    for place in range(min(PASSING_MOST, len(passed))):
        film.see(passed[place * len(passed) // min(PASSING_MOST, len(passed))], PASSING)


def drawn(film: Film) -> str:
    """The film as SVG."""
    styles: dict[str, str] = {}
    rows: dict[str, str] = {}
    for frame in film.frames:
        for line in frame:
            if line not in rows:
                rows[line] = row_svg(line, styles)
    names = {line: f"r{number}" for number, line in enumerate(rows)}
    total = sum(film.seconds)
    css, frames, begun = [], [], 0.0
    for number, (frame, seconds) in enumerate(zip(film.frames, film.seconds, strict=True)):
        start, stop = 100 * begun / total, 100 * (begun + seconds) / total
        begun += seconds
        hidden = "0%{visibility:hidden}" if number else ""
        css.append(
            f"@keyframes k{number}{{{hidden}{start:.2f}%{{visibility:visible}}{stop:.2f}%,100%{{visibility:hidden}}}}"
            f"#f{number}{{animation:k{number} {total:.1f}s step-end infinite}}"
        )
        lines = "".join(f'<use href="#{names[line]}" y="{y * HEIGHT}"/>' for y, line in enumerate(frame) if rows[line])
        frames.append(f'<g class="f" id="f{number}">{lines}</g>')
    classes = "".join(f".{name}{{{text}}}" for text, name in styles.items())
    width, height = round(COLUMNS * WIDTH) + 20, ROWS * HEIGHT + 20
    last = f"#f{len(frames) - 1}{{visibility:visible}}"
    still = f"@media (prefers-reduced-motion:reduce){{.f{{animation:none!important}}{last}}}"
    body = "".join(f'<g id="{names[line]}">{text}</g>' for line, text in rows.items() if text)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"><style>'
        f"text{{font:14px DejaVu Sans Mono,Menlo,Consolas,monospace;white-space:pre;fill:#dfe3e8}}"
        f".f{{visibility:hidden}}{classes}{''.join(css)}{still}</style><defs>{body}</defs>"
        f'<rect width="{width}" height="{height}" rx="8" fill="#14171c"/>'
        f'<g transform="translate(10 10)" xml:space="preserve">{"".join(frames)}</g></svg>\n'
    )


def row_svg(line: str, styles: dict[str, str]) -> str:
    """One line of the screen at y = 0."""
    console = Console(width=COLUMNS, color_system="truecolor", force_terminal=True)
    found, x = [], 0
    for text, style, _ in Segment.simplify(Text.from_ansi(line).render(console)):
        style = style or Style.null()
        cells = Segment(text).cell_length
        front, back = colour(style.color, foreground=True), colour(style.bgcolor, foreground=False)
        if style.reverse:
            front, back = back or "#14171c", front or "#dfe3e8"
        left = round(x * WIDTH, 1)
        x += cells
        if text == "\n" or not cells:
            continue
        if back:
            box = f'<rect x="{left:g}" width="{cells * WIDTH:.1f}" height="{HEIGHT}"'
            found.append(f'{box} class="{named(styles, f"fill:{back}")}"/>')
        if text.strip():
            parts = [f"fill:{front}"] if front else []
            parts += ["font-weight:bold"] if style.bold else []
            parts += ["text-decoration:underline"] if style.underline else []
            kind = f' class="{named(styles, ";".join(parts))}"' if parts else ""
            length = f'textLength="{cells * WIDTH:.1f}"' if cells > 1 else ""
            found.append(f'<text x="{left:g}" y="14" {length}{kind}>{html.escape(text, quote=False)}</text>')
    return "".join(found)


def colour(one: object, *, foreground: bool) -> str:
    """A colour of Rich as CSS writes it; "" for the terminal's own."""
    from rich.color import Color

    if not isinstance(one, Color) or one.is_default:
        return ""
    return one.get_truecolor(COLOURS, foreground=foreground).hex


def named(styles: dict[str, str], text: str) -> str:
    """The class of a style."""
    return styles.setdefault(text, f"s{len(styles)}")


if __name__ == "__main__":
    os.chdir(ROOT)
    FILM.write_text(drawn(shoot()), encoding="utf-8")
    print(f"{FILM.stat().st_size / 1000:.0f} kB", file=sys.stderr)  # noqa: T201
