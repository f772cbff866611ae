"""The journey of a new user, on the real demo model, in a real terminal."""

from __future__ import annotations

import re

import pytest

from probes.models.loaded import Loaded
from tests.support.terminal import Terminal, installed

pytestmark = [
    pytest.mark.demo,
    pytest.mark.terminal,
]


@pytest.fixture(autouse=True, scope="module")
def _fetched(demo: Loaded) -> None:
    """The download happens before, so that the journey's times are the program's own."""


def explorer(*arguments: str, width: int = 120, height: int = 36) -> Terminal:
    return Terminal(installed("phier-tui"), *arguments, width=width, height=height)


def test_a_person_sees_the_split_the_drift_and_the_collapse() -> None:
    with explorer("--prune", "wanda:0.5", "--follow", "free", "--steps", "40") as terminal:
        terminal.until("phier", seconds=10)
        terminal.until(re.compile(r"step 0").search, seconds=300)
        terminal.keys("n")
        terminal.until(re.compile(r"step 1\b").search, seconds=10)
        terminal.keys("Space")
        screen = terminal.until(re.compile(r"step 40/40").search, seconds=120)
        assert "wanda:0.5" in screen
        assert "split at step" in screen
        assert "shared" in screen
        assert "own" in screen
        terminal.keys("g")
        terminal.until("behind")
        terminal.keys("End")
        terminal.until(lambda screen: "behind" not in screen)
        terminal.keys("F1")
        terminal.until("2603.24652")
        terminal.keys("Escape")
        terminal.until(lambda screen: "2603.24652" not in screen)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)


def test_a_fork_opens_a_branch_and_the_earlier_one_stays() -> None:
    with explorer("--prune", "magnitude:0.3", "--steps", "8") as terminal:
        terminal.until(re.compile(r"step 0").search, seconds=120)
        terminal.keys("Space")
        terminal.until(re.compile(r"step 8/8").search)
        terminal.keys("Left", "Left", "Left")
        terminal.until("3 behind")
        terminal.keys("Down", "Enter")
        terminal.until(lambda screen: "branch 1" in screen and "step 5/8" in screen)
        terminal.keys("b")
        terminal.until("step 5: ")
        terminal.keys("Escape")
        terminal.until(lambda screen: "as the models chose" not in screen)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)


def test_a_small_terminal_is_fully_usable() -> None:
    with explorer(
        "--prune", "drop-attn@layers=20,22", "--follow", "free", "--steps", "6", width=80, height=24
    ) as small:
        small.until(re.compile(r"step 0").search, seconds=120)
        small.keys("Space")
        small.until(re.compile(r"step 6/6").search)
        small.resize(120, 36)
        small.until("reading")
        small.keys("q")
        small.until("ended with 0", seconds=10)


def test_another_setting_is_typed_in_and_a_wrong_one_explained() -> None:
    with explorer("--prune", "magnitude:0.3", "--steps", "5") as terminal:
        terminal.until(re.compile(r"step 0").search, seconds=120)
        terminal.keys("x")
        terminal.until("two of every four", seconds=20)
        terminal.keys("C-u")
        terminal.until("The setting is empty", seconds=20)
        terminal.type("wnda:0.5")
        terminal.until("not a method", seconds=20)
        terminal.keys("C-u")
        terminal.until("The setting is empty", seconds=20)
        terminal.type("drop-block@layers=3")
        terminal.keys("Enter")
        terminal.until("drop-block@layers=3", seconds=20)
        terminal.until("1 block dropped", seconds=20)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)
