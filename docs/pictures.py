"""Draws the pictures of docs/explain.md: the real app on the demo model, key by key.

make pictures
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from screenshot import plain
from textual.pilot import Pilot

from explorer.sources.live import LiveSource, loader
from explorer.ui.app import ExplorerApp
from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.prune_setting import Setting, parse
from probes.schema.repair import Repair
from probes.schema.settings import RunSettings
from probes.schema.spec import PairSpec

FOLDER = Path(__file__).parent / "pictures"
SIZE = (112, 32)
STEPS = 20
WALKS = {"wanda": "wanda:0.5", "dropped": "drop-attn@layers=18,20,22,24"}
SHOWN = {
    "wanda": ("split", "blame", "layers", "quadrants", "anatomy", "found", "repaired"),
    "dropped": ("blame", "quadrants", "found", "repaired"),
}
"""The pictures of each walk that the page shows."""
PATIENCE = 3600.0
"""Seconds that a computation may take."""


class Walk:
    """The keys of one walk, each followed by a picture of what it shows."""

    def __init__(self, app: ExplorerApp, pilot: Pilot[int], name: str) -> None:
        self.app, self.pilot, self.name = app, pilot, name

    async def keys(self, *keys: str) -> None:
        await self.pilot.press(*keys)
        await self.pilot.pause()

    async def until(self, done: Callable[[], bool]) -> None:
        """Waits for an answer of the models, and until it is on the screen."""
        waited = 0.0
        while not done():
            assert waited < PATIENCE, f"{self.name}: no answer"
            await self.pilot.pause(0.2)
            waited += 0.2
        await asyncio.to_thread(self.app.source.wait_idle, PATIENCE)
        await self.pilot.pause(0.5)

    async def computed(self) -> None:
        """Waits until everything that the screen has asked for is there."""
        await asyncio.to_thread(self.app.source.wait_idle, PATIENCE)
        await self.pilot.pause(0.5)

    def repaired_setting(self) -> Setting:
        """The setting that the search found."""
        repairs = [one.found for one in self.app.view.findings() if isinstance(one.found, Repair)]
        assert repairs, f"{self.name}: nothing to give back was found"
        return parse(repairs[-1].setting)

    def has_run(self, setting: Setting) -> bool:
        """Have all steps been measured with this setting?"""
        header, view = self.app.view.header, self.app.view
        pruned = header is not None and header.prune is not None and parse(header.prune.setting) == setting
        return pruned and len(view.path) >= STEPS and not view.running

    def picture(self, what: str) -> None:
        if what in SHOWN[self.name]:
            svg = plain(self.app.export_screenshot(title="phier"))
            (FOLDER / f"{self.name}-{what}.svg").write_text(svg, encoding="utf-8")


async def draw(name: str) -> None:
    source = LiveSource(loader(PairSpec(prune=parse(WALKS[name]))), RunSettings(DEFAULT_PROMPT, steps=STEPS))
    app = ExplorerApp(source)
    async with app.run_test(size=SIZE) as pilot:
        walk = Walk(app, pilot, name)
        await walk.until(lambda: app.view.header is not None and app.view.work is None)
        await walk.keys("space")
        await walk.until(lambda: len(app.view.path) >= STEPS and not app.view.running)
        await walk.keys("g")
        walk.picture("split")
        await walk.keys("d")
        await walk.computed()
        walk.picture("blame")
        for key, what in (("2", "layers"), ("3", "quadrants"), ("4", "anatomy")):
            await walk.keys(key)
            await walk.computed()
            walk.picture(what)
        await walk.keys("r", "0", "full_stop", "1", "enter")
        await walk.computed()
        found = walk.repaired_setting()
        walk.picture("found")
        await walk.keys("enter")
        await walk.keys("escape")
        await walk.until(lambda: walk.has_run(found))
        await walk.keys("w")
        walk.picture("repaired")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for chosen in sys.argv[1:] or WALKS:
        asyncio.run(draw(chosen))
