"""Recordings in a real terminal: played for a talk, listed, and gone on from with their models."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from explorer.recordings.shipped import shipped_folder
from probes.models.loaded import Loaded
from probes.recording import read
from tests.support.terminal import Terminal, installed

pytestmark = pytest.mark.terminal


def explorer(*arguments: str, sessions: Path, without_torch: bool = True) -> Terminal:
    """The program with recordings of its own; without torch, one that can't be imported stands in its place."""
    env = {"PHIER_RECORDINGS": str(sessions / "own")}
    if without_torch:
        for name in ("torch", "transformers", "numpy"):
            (sessions / "none" / name).mkdir(parents=True)
            (sessions / "none" / name / "__init__.py").write_text("raise SystemExit('imported, and must not be')")
        env["PYTHONPATH"] = str(sessions / "none")
    return Terminal(installed("phier-tui"), *arguments, env=env)


def test_the_demo_plays_at_a_chosen_speed_without_torch(tmp_path: Path) -> None:
    with explorer("--demo", "--speed", "30", sessions=tmp_path) as terminal:
        terminal.until(re.compile(r"step [5-9]/96").search, seconds=10)
        terminal.until("split at step 5")
        terminal.until(re.compile(r"step 65/96").search, seconds=20)
        terminal.keys("g")
        terminal.until(re.compile(r"step 5/96").search)
        terminal.keys("G")
        terminal.until(lambda screen: "step 5/96" not in screen and "behind" in screen)
        terminal.keys("Space")
        terminal.until(re.compile(r"step \d/96").search)
        terminal.keys("e")
        terminal.until(re.compile(r"step 65/96").search)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)


def test_keys_come_from_the_terminal_though_standard_input_is_something_else(tmp_path: Path) -> None:
    line = f"echo nothing | {installed('phier-tui')} --demo --speed 30 2>/dev/null"
    with Terminal("sh", "-c", line, env={"PHIER_RECORDINGS": str(tmp_path)}) as terminal:
        terminal.until(re.compile(r"step 65/96").search, seconds=20)
        terminal.keys("g")
        terminal.until(re.compile(r"step 5/96").search)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)


def test_the_list_opens_a_recording_that_a_few_letters_find(tmp_path: Path) -> None:
    with explorer("--recordings", sessions=tmp_path) as terminal:
        terminal.until("drop-attn@", seconds=10)
        terminal.type("/")
        terminal.type("0.05")
        terminal.until(lambda screen: "drop-attn@" not in screen)
        terminal.keys("Enter")
        terminal.keys("Enter")
        terminal.until(re.compile(r"wanda:0.05.*step 65/96").search)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)


@pytest.mark.demo
def test_one_key_loads_the_models_and_goes_on_from_the_cursor(demo: Loaded, tmp_path: Path) -> None:
    recording = shipped_folder() / "dropped-attention.jsonl"
    with explorer(str(recording), sessions=tmp_path, without_torch=False) as terminal:
        terminal.until(re.compile(r"step 65/96").search, seconds=10)
        terminal.keys("g")
        terminal.until(re.compile(r"step 5/96").search)
        terminal.keys("m")
        terminal.until("From here on, steps 6 to 96 stay behind.")
        terminal.keys("c")
        # To the last bit where it was recorded on such a processor, within float noise on another.
        terminal.until("5 steps measured again: ", seconds=120)
        terminal.keys("n")
        terminal.until(re.compile(r"step 6/96").search)
        terminal.keys("q")
        terminal.until("ended with 0", seconds=10)
    (made,) = (tmp_path / "own").glob("*.jsonl")
    gone_on, recorded = read(made).last.path, read(recording).last.path
    assert [r.taken and r.taken.token_id for r in gone_on] == [r.taken and r.taken.token_id for r in recorded[:6]]
