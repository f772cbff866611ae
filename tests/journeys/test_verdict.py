"""The verdict on the real demo model in a real terminal: score a few items, read them, open one, come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probes.models.loaded import Loaded
from tests.support.terminal import Terminal, installed

pytestmark = [
    pytest.mark.demo,
    pytest.mark.terminal,
]
ITEMS = """question,A,B,C,answer
What colour is the sky on a clear day?,blue,green,red,A
How many legs does a cat have?,two,four,nine,B
Which animal barks?,a cow,a hen,a dog,C
"""


def test_a_few_items_are_scored_read_and_opened(demo: Loaded, tmp_path: Path) -> None:
    items = tmp_path / "easy.csv"
    items.write_text(ITEMS)
    env = {"PHIER_RECORDINGS": str(tmp_path), "PHIER_CONFIG": str(tmp_path / "config")}
    with Terminal(installed("phier-tui"), "--prune", "magnitude:0.3", "--steps", "4", env=env) as terminal:
        terminal.until(re.compile(r"step 0").search, seconds=120)
        terminal.keys("j")
        terminal.until("r scores questions")
        terminal.keys("c")
        terminal.until("Sets that ship")
        terminal.type(str(items))
        terminal.keys("Enter")
        screen = terminal.until(lambda screen: "Too few items" in screen and "Scoring" not in screen, seconds=60)
        assert re.search(r"easy +3 ", screen)
        assert "options p" in screen
        terminal.keys("Enter")
        terminal.until("1 all 3")
        terminal.keys("Down", "Enter")
        screen = terminal.until(re.compile("Item .*goes back to the list").search, seconds=30)
        assert "How many legs does a cat have?" in screen
        assert "step 1/" in screen
        terminal.keys("j")
        screen = terminal.until("1 all 3")
        assert "How many legs" in screen
        terminal.keys("Escape")
        terminal.until("verdict by task")
        terminal.keys("d")
        terminal.until("The largest loss")
        terminal.keys("BSpace")
        terminal.type("50")
        terminal.keys("Enter")
        terminal.until("margin −50 points")
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)
