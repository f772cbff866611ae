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
    """Textual's picture without its font: none is fetched, and whoever looks at the picture has a monospaced one."""
    svg = re.sub(r"@font-face\s*{[^}]*}", "", svg)
    return svg.replace("Fira Code", "DejaVu Sans Mono").replace("<text ", '<text xml:space="preserve" ')


if __name__ == "__main__":
    asyncio.run(draw())
