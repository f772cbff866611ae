"""The first thing on the screen stands where the explorer paints it again, and never hides an error."""

from __future__ import annotations

import os
import re
import termios
from contextlib import suppress

import pytest

from explorer.ui.silent_terminal import no_echo
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


def test_keys_pressed_before_it_are_not_shown_and_not_lost() -> None:
    screen, terminal = os.openpty()
    before = termios.tcgetattr(terminal)
    with suppress(KeyboardInterrupt), no_echo(terminal):
        os.write(screen, b"d\r")
        assert os.read(terminal, 10) == b"d\r"
        os.set_blocking(screen, False)
        with pytest.raises(BlockingIOError):
            os.read(screen, 10)
        raise KeyboardInterrupt
    assert termios.tcgetattr(terminal) == before
    os.close(screen)
    os.close(terminal)


def test_an_input_that_is_no_terminal_stays_as_it_is() -> None:
    reads, writes = os.pipe()
    with no_echo(reads):
        os.write(writes, b"d")
        assert os.read(reads, 1) == b"d"
    os.close(reads)
    os.close(writes)
