"""The first thing on the screen stands where the explorer paints it again, and never hides an error."""

from __future__ import annotations

import re

import pytest

from explorer.ui.splash import splash_lines
from tests.support.stage import Waiting, explorer, screen_text, settle


@pytest.mark.parametrize("size", [(80, 24), (120, 36), (161, 45)])
async def test_it_is_what_textual_paints(size: tuple[int, int]) -> None:
    app = explorer(Waiting())
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        shown = screen_text(app).splitlines()
        for row, column, text in re.findall(r"\x1b\[(\d+);(\d+)H([^\x1b]*)", splash_lines(*size)):
            assert shown[int(row) - 1][int(column) - 1 :].startswith(text)


def test_a_terminal_that_is_too_small_for_it_shows_nothing() -> None:
    assert splash_lines(40, 10) == ""
