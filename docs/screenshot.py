"""Draws the README's picture: the real app on the shipped recording of the collapse, as SVG.

python docs/screenshot.py && rsvg-convert --zoom 1.2 docs/screenshot.svg -o docs/screenshot.png
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
from explorer.sources.replay import ReplaySource
from explorer.ui.app import ExplorerApp

HERE = Path(__file__).parent
STEP = 12


async def draw() -> None:
    app = ExplorerApp(ReplaySource(shipped_folder() / DEMO_RECORDING))
    async with app.run_test(size=(132, 40)) as pilot:
        while len(app.view.path) < 60:
            await pilot.pause(0.1)
        await pilot.press("home", *["right"] * (STEP - 1))
        await pilot.pause(0.5)
        svg = plain(app.export_screenshot(title="phier"))
    (HERE / "screenshot.svg").write_text(svg, encoding="utf-8")


def plain(svg: str) -> str:
    """Textual's picture without its font: none is fetched, and whoever looks at the picture has a monospaced one. What
    is the same in every line of it is written once, which leaves half of its size."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg).replace("Fira Code", "DejaVu Sans Mono")
    svg = re.sub(r"terminal-\d+-", "", svg)
    svg = re.sub(r' clip-path="url\(#line-\d+\)"', "", svg)  # a line of the terminal never leaves its row
    svg = re.sub(r'<clipPath id="line-\d+">.*?</clipPath>\s*', "", svg, flags=re.DOTALL)
    svg = svg.replace(' shape-rendering="crispEdges"', "")
    return svg.replace('class="matrix"', 'class="matrix" xml:space="preserve" shape-rendering="crispEdges"').replace(
        "    <rect", "<rect"
    )


if __name__ == "__main__":
    asyncio.run(draw())
