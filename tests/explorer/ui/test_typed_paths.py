"""No path that is typed on a screen passes by the fence."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Input

from explorer.sources.toy.source import ToySource
from explorer.state.typed_history import TypedHistory
from explorer.ui.app import ExplorerApp
from explorer.ui.screens.save import AskPath
from probes.system.fence import remove_fence, set_fence
from tests.support.stage import on_stage, press, screen_text, scripted, settle

ROOT = Path(__file__).parents[3]
OPENING = {"Path", "PurePath", "open", "expanduser", "read_text", "read_bytes", "write_text", "write_bytes", "resolve"}
ALLOWED = {
    ("explorer/ui/app.py", "open"),  # a source
    ("explorer/ui/messages.py", "open"),
    ("explorer/state/view.py", "open"),  # a branch
    ("explorer/state/marks.py", "read_bytes"),  # the program's own file, as the two below
    ("explorer/state/saved_settings.py", "read_bytes"),
    ("explorer/state/typed_history.py", "read_bytes"),
    ("explorer/state/typed_history.py", "open"),
    ("explorer/ui/clipboard.py", "Path"),  # the folder of copies, or the temporary one; nobody types a name
    ("explorer/ui/clipboard.py", "open"),
    ("explorer/ui/widgets/passage_table.py", "PurePath"),  # only the name is shown
}


def calls() -> Iterator[tuple[str, str]]:
    """Every call in the screens and their state that makes or opens a path."""
    for room in ("ui", "state"):
        for file in sorted((ROOT / "explorer" / room).rglob("*.py")):
            for node in ast.walk(ast.parse(file.read_text("utf-8"))):
                if isinstance(node, ast.Call):
                    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                    if name in OPENING:
                        yield str(file.relative_to(ROOT)), name


def test_screens_make_paths_of_texts_only_by_the_function_that_the_fence_is_in():
    assert not set(calls()) - ALLOWED, "use probes.system.user_folders.expanded"


async def test_saving_elsewhere_stays_in_the_served_folder(tmp_path: Path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    monkeypatch.chdir(served)
    set_fence([served])
    try:
        app, chosen = ExplorerApp(ToySource()), []
        async with app.run_test(size=(120, 36)) as pilot:
            await settle(pilot)
            app.push_screen(AskPath(), chosen.append)
            await pilot.pause()
            field = app.screen.query_one("#path", Input)
            assert field.placeholder == "run.jsonl", "a file that may be written"
            field.value = str(tmp_path / "elsewhere.jsonl")
            await pilot.press("enter")
            assert "from a browser" in str(app.screen.query_one("#verdict").render())
            assert not chosen
            field.value = "own.jsonl"
            await pilot.press("enter")
            await pilot.pause()
        assert chosen == [served / "own.jsonl"]
    finally:
        remove_fence()


@pytest.mark.parametrize("keys", [("p", "f5"), ("s",)], ids=["prompts from a file", "a text from a file"])
async def test_files_that_are_typed_are_read_only_in_the_served_folder(
    keys: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served, secret = tmp_path / "served", tmp_path / "secret.txt"
    served.mkdir()
    secret.write_text("a secret")
    (served / "link.txt").symlink_to(secret)
    (served / "own.txt").write_text("What is half of 48?")
    monkeypatch.chdir(served)
    monkeypatch.setenv("PHIER_CONFIG", str(tmp_path / "config"))
    TypedHistory().add("file", str(secret))
    TypedHistory().add("file", str(served / "own.txt"))
    source = scripted()
    set_fence([served])
    try:
        async with on_stage(source, 3) as (app, pilot):
            await press(pilot, *keys)
            field = app.screen.query_one("#path, #text_file", Input)
            if app.screen.query("#follow"):
                app.screen.query_one("#follow", Input).value = "text"
            field.focus()
            for name in (str(secret), "../secret.txt", "link.txt", str(tmp_path / "absent.txt")):
                field.value = name
                await press(pilot, "enter")
                assert "from a browser" in str(app.screen.query_one("#verdict").render())
                assert "a secret" not in screen_text(app)
            field.value = ""
            await press(pilot, "up", "up", "up")
            assert field.value.endswith("own.txt"), "the history names no file elsewhere"
            await press(pilot, "enter")
            assert not source.asked or source.settings.text == "What is half of 48?"
            assert source.asked or "What is half of 48?" in screen_text(app)
    finally:
        remove_fence()
