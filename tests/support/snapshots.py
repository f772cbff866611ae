"""Brings a screen into a state and compares it with its stored picture."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, TextArea

from explorer.sources.toy.source import ToySource
from explorer.ui.app import ExplorerApp
from probes.schema.requests import Run
from tests.support.stage import LARGE, MIDDLE, SMALL, press, settle

SIZES = pytest.mark.parametrize("size", [SMALL, MIDDLE, LARGE], ids=["80x24", "120x36", "160x45"])


Do = Callable[[Pilot[int]], Awaitable[None]]


Compare = Any
"""The fixture `snap_compare`, which the plugin leaves without a type."""


def before(source: ToySource, steps: int = 0, *keys: str, running: bool = False) -> Do:
    async def do(pilot: Pilot[int]) -> None:
        await settle(pilot)
        if running:
            source.ask(Run())
        source.advance(steps)
        await settle(pilot)
        await press(pilot, *keys)
        for field in pilot.app.screen.query("Input, TextArea"):
            if isinstance(field, (Input, TextArea)):
                field.cursor_blink = False
        await settle(pilot)

    return do


def seen(
    app: ExplorerApp, compare: Compare, size: tuple[int, int], do: Callable[[Pilot[int]], Awaitable[None]]
) -> bool:
    return bool(compare(app, terminal_size=size, run_before=do))
