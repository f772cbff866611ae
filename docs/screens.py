"""Draws the pictures of the pages in docs/screens: the real app, on recordings that ship and on the demo model.

make screens             all of them, in some minutes
python docs/screens.py begun recorded    only those that need no model

The sweep and the results that two of the walks open are those of `make sweeps` and `make verdicts`, which keep them in
build/, or the file that SWEEP names.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path

from pictures import PATIENCE, SIZE, STEPS
from screenshot import plain
from textual.pilot import Pilot

from explorer.recordings.shipped import TOUR_RECORDING, shipped_folder
from explorer.sources.launcher import ModelLauncher
from explorer.sources.live import LiveSource, loader
from explorer.sources.opened import opened_file
from explorer.sources.replay import ReplaySource
from explorer.sources.source import Source
from explorer.ui.app import ExplorerApp
from explorer.words.defaults import DEFAULT_PROMPT
from probes.schema.prune_setting import parse
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec

ROOT = Path(__file__).parents[1]
FOLDER = Path(__file__).parent / "pictures" / "screens"
SWEEP = Path(os.environ.get("SWEEP", ROOT / "build" / "sweeps" / "ladder.jsonl"))
RESULTS = ROOT / "build" / "verdicts" / "wanda-0-5.jsonl"


class Stage:
    """The app, its keys, and the pictures that are taken of it."""

    def __init__(self, app: ExplorerApp, pilot: Pilot[int]) -> None:
        self.app, self.pilot = app, pilot

    async def keys(self, *keys: str) -> None:
        """Presses keys, and waits until what they ask for is on the screen."""
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()
        await self.at_rest()

    async def typed(self, text: str) -> None:
        """Replaces the text of the field under focus."""
        await self.pilot.press("end", "ctrl+u")
        await self.keys(*("space" if sign == " " else sign for sign in text))

    async def at_rest(self) -> None:
        if self.app.source is not None:
            await asyncio.to_thread(self.app.source.wait_idle, PATIENCE)
        await self.pilot.pause(0.7)

    async def ready(self) -> None:
        """Waits until the models are loaded."""
        while self.app.view.header is None:
            await self.pilot.pause(0.2)
        await self.steps(0)

    async def steps(self, number: int) -> None:
        """Waits until that many steps are there."""
        while len(self.app.view.path) < number or self.app.view.running or self.app.view.work is not None:
            await self.pilot.pause(0.2)
        await self.at_rest()

    def picture(self, name: str) -> None:
        svg = plain(self.app.export_screenshot(title="phier"))
        (FOLDER / f"{name}.svg").write_text(svg, encoding="utf-8")
        print(name, f"{len(svg) / 1000:.0f} kB", file=sys.stderr, flush=True)  # noqa: T201


async def recorded(stage: Stage) -> None:
    """The list of the recordings that ship, two of them compared, and one on the main screen."""
    await stage.pilot.pause(2)
    await stage.keys("home")
    stage.picture("recordings")
    await stage.keys("space", "down", "space", "c")
    await stage.pilot.pause(1)
    stage.picture("comparison")


async def begun(stage: Stage) -> None:
    """The first screen, and the tour on its recording."""
    await stage.pilot.pause(1)
    stage.picture("welcome")
    stage.app.use(ReplaySource(shipped_folder() / TOUR_RECORDING, play=True, pace=1000))
    stage.app.guide.begin()
    await stage.ready()
    await stage.keys("greater_than_sign")
    await stage.steps(60)
    await stage.keys("greater_than_sign")
    stage.picture("tour")


async def swept(stage: Stage) -> None:
    await stage.pilot.pause(2)
    await stage.keys("down", "down", "right")
    stage.picture("sweep")
    await stage.keys("c")
    stage.picture("sweep-curves")
    await stage.keys("p")
    stage.picture("sweep-pareto")


async def judged(stage: Stage) -> None:
    await stage.pilot.pause(2)
    stage.picture("verdict")
    await stage.keys("enter")
    stage.picture("items")
    await stage.keys("escape", "down", "down", "enter")
    stage.picture("similarities")


async def dialogs(stage: Stage) -> None:
    """What can be opened before the first step."""
    await stage.ready()
    stage.picture("ready")
    for key, name in (("p", "prompt"), ("s", "settings"), ("f", "follow"), ("u", "until"), ("x", "setting")):
        await stage.keys(key)
        stage.picture(name)
        if key == "p":
            await stage.keys("f3")
            stage.picture("prompt-tokens")
            await stage.keys("escape")
        await stage.keys("escape")
    await stage.keys("D")
    stage.picture("figures")


async def live(stage: Stage) -> None:
    """The main screen of a run in `free`, and what opens from it."""
    await stage.ready()
    await stage.keys("space")
    await stage.steps(STEPS)
    await stage.keys("g")
    stage.picture("main")
    await stage.keys("f1")
    stage.picture("explanation")
    await stage.keys("escape", "slash")
    await stage.typed("kl>0.5")
    stage.picture("find")
    await stage.keys("escape", "L")
    stage.picture("steps")
    await stage.keys("escape", "i")
    stage.picture("force")
    await stage.keys("escape", "d")
    stage.picture("why")
    await stage.keys("r")
    stage.picture("repair")
    await stage.keys("escape", "escape", "W", "e")
    await stage.typed('" half" | " "')
    stage.picture("watch-dialog")
    await stage.keys("enter")
    await stage.steps(STEPS)
    stage.picture("watched")
    await stage.keys("escape", "P")
    await stage.typed("facts")
    stage.picture("search-dialog")
    await stage.keys("enter")
    stage.picture("passages")
    await stage.keys("escape", "w", *["down"] * 7, "right", "0", "enter")
    await stage.steps(STEPS)
    stage.picture("layers")


Walk = Callable[[Stage], Awaitable[None]]
WALKS: dict[str, Walk] = {
    "begun": begun,
    "recorded": recorded,
    "swept": swept,
    "judged": judged,
    "dialogs": dialogs,
    "live": live,
}


def source_of(name: str) -> Source | None:
    """What a walk shows; None for the list of recordings and for the first screen."""
    if name in ("begun", "recorded"):
        return None
    if name in ("swept", "judged"):
        file = SWEEP if name == "swept" else RESULTS
        if not file.exists():
            raise SystemExit(f"{file} is missing: make {'sweeps' if name == 'swept' else 'verdicts'}")
        return opened_file(Path(os.path.relpath(file)), None)
    settings = RunSettings(DEFAULT_PROMPT, follow=Follow.FREE, steps=STEPS)
    return LiveSource(loader(PairSpec(prune=parse("wanda:0.5"))), settings)


async def draw(name: str) -> None:
    folder = Path("sessions") if name == "recorded" else None
    launcher = ModelLauncher(PairSpec(prune=parse("wanda:0.5")), RunSettings(DEFAULT_PROMPT))
    app = ExplorerApp(source_of(name), launcher=launcher, folder=folder, welcome=name == "begun")
    async with app.run_test(size=SIZE) as pilot:
        await WALKS[name](Stage(app, pilot))


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    os.chdir(ROOT)
    with tempfile.TemporaryDirectory() as own:
        os.environ["PHIER_RECORDINGS"] = own
        for chosen in sys.argv[1:] or WALKS:
            asyncio.run(draw(chosen))
