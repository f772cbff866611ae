"""Pruning layer by layer, on the real demo model in a real terminal: give layers back, see what it does, go back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from probes.models.loaded import Loaded
from probes.recording import read
from tests.support.terminal import Terminal, installed

pytestmark = [
    pytest.mark.demo,
    pytest.mark.terminal,
]


def sums(screen: str) -> tuple[float, float]:
    """ΣKL before and after, over the whole run."""
    (line,) = [line for line in screen.splitlines() if "ΣKL ↓" in line]
    before, after = re.findall(r"[\d.]+", line.split("ΣKL ↓")[1])[:2]
    return float(before), float(after)


def test_layers_are_given_back_and_undone_and_every_figure_follows(demo: Loaded, tmp_path: Path) -> None:
    env = {"PHIER_RECORDINGS": str(tmp_path), "PHIER_CONFIG": str(tmp_path / "config")}
    with Terminal(installed("phier-tui"), "--prune", "magnitude:0.5", "--steps", "8", env=env) as terminal:
        terminal.until(re.compile(r"step 0").search, seconds=120)
        terminal.keys("Space")
        terminal.until(re.compile(r"step 8/8").search)
        terminal.keys("w")
        terminal.until("nothing changed")
        terminal.keys("Right", "a", "0")  # all MLPs
        terminal.until("magnitude:0.5+dense@mlp")
        terminal.keys("Enter")
        screen = terminal.until(lambda screen: "all 8" in screen and "ΣKL ↓" in screen, seconds=60)
        before, after = sums(screen)
        assert after < before / 2
        terminal.keys("u")
        screen = terminal.until(lambda screen: "→ magnitude:0.5 " in screen and "all 8" in screen, seconds=60)
        assert sums(screen) == (after, before)
        terminal.keys("k")
        terminal.until("Save the setting")
        terminal.type("half")
        terminal.keys("Enter")
        terminal.until("“half”")
        terminal.keys("Escape")
        terminal.until("next token")
        terminal.keys("v")
        terminal.until(re.compile(r"⇄ magnitude:0\.5\+dense@mlp .*step 8/8").search)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)
    (made,) = tmp_path.glob("*.jsonl")
    runs = read(made).runs
    settings = ["magnitude:0.5", "magnitude:0.5+dense@mlp"]
    assert [run.header.title for run in runs] == [*settings, *settings]
    assert [run.path for run in runs[:2]] == [run.path for run in runs[2:]], "coming back is exact"
