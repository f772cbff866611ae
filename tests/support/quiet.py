"""For tests of screens: waits until nothing is left to do, and parses each style sheet once for all of them."""

from __future__ import annotations

import asyncio
import time

from textual._context import active_app
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet


async def quiet(*_: object) -> bool:
    """Until no task can go on and nothing is left to draw.

    Textual's pilot, in whose place it stands, sleeps four times for each key, each time 20 ms or more until its process
    has taken little time meanwhile. Where another program keeps the processor, that can be before anything happened.
    """
    ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    end = time.monotonic() + 60
    while True:
        await asyncio.sleep(0)
        if ready:
            assert time.monotonic() < end, "never quiet"
            continue
        app = active_app.get()
        if not app.is_running or not app._screen_stack or not app.screen._update_timer._active.is_set():
            return True
        app.screen._on_timer_update()  # draws now what would be drawn within a sixtieth of a second


_parsed: dict[tuple[object, ...], list[RuleSet]] = {}
_parse = Stylesheet._parse_rules


def parsed_once(sheet: Stylesheet, *values: object, **named: object) -> list[RuleSet]:
    """The rules of one source with a theme's variables: nothing changes them, and every screen of a test has the
    same."""
    asked = (values, tuple(sorted(named.items())), tuple(sorted(sheet._variables.items())))
    if asked not in _parsed:
        _parsed[asked] = _parse(sheet, *values, **named)  # type: ignore[arg-type]
    return _parsed[asked]
