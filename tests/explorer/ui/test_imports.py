"""The screens load no torch, and the dialogs only when they are asked for."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "accelerate", "numpy")


def loaded_by(statement: str) -> set[str]:
    code = f"import sys; {statement}; print(*sys.modules, sep=chr(10))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(ran.stdout.split())


@pytest.mark.parametrize(
    "module",
    [
        "ui.app",
        "sources.toy.source",
        "bench.interface",
        "ui.command_palette",
        "ui.screens.help",
        "ui.screens.prune",
        "ui.screens.settings",
    ],
)
def test_the_explorer_never_loads_torch(module: str) -> None:
    loaded = loaded_by(f"import explorer.{module}")
    assert f"explorer.{module}" in loaded
    assert not loaded & set(HEAVY)


def test_a_whole_session_on_the_screen_never_loads_torch() -> None:
    statement = (
        "import asyncio; from explorer.ui.app import ExplorerApp\n"
        "from explorer.sources.toy.source import ToySource\n"
        "async def go():\n"
        "    app = ExplorerApp(ToySource())\n"
        "    async with app.run_test(size=(120, 36)) as pilot:\n"
        "        for key in ('n', 'n', 'left', 'z', 'escape', 'f1', 'escape', 'x', 'escape', 's', 'escape', 'b'):\n"
        "            await pilot.press(key)\n"
        "asyncio.run(go())"
    )
    loaded = loaded_by(statement)
    assert not loaded & set(HEAVY)
    assert "explorer.ui.screens.why" in loaded  # before its key


def test_dialogs_are_loaded_when_they_are_asked_for() -> None:
    loaded = loaded_by("import explorer.ui.app")
    assert "explorer.ui.screens.main" in loaded
    for name in ("dialog", "help", "prompt", "settings", "prune", "until", "branches", "why"):
        assert f"explorer.ui.screens.{name}" not in loaded
    assert "textual.widgets._text_area" not in loaded
