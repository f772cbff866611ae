"""Keys that arrive together take effect in the order in which they were pressed, in every field of the screens."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.app import App, ComposeResult
from textual.events import Key
from textual.widgets import Input

import explorer.ui
from explorer.ui.widgets.input_field import InputField


class OneField(App[str]):
    def __init__(self, value: str) -> None:
        super().__init__()
        self._value = value

    def compose(self) -> ComposeResult:
        yield InputField(self._value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.exit(event.value)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["backspace", "5", "0"], "50"),
        (["end", "ctrl+u", "a", "b"], "ab"),
        (["end", "x", "left", "y"], "oldyx"),
        (["home", "delete", "z"], "zld"),
    ],
)
async def test_keys_that_come_together_keep_their_order(keys: list[str], expected: str) -> None:
    app = OneField("old")
    async with app.run_test() as pilot:
        await pilot.pause()
        for key in [*keys, "enter"]:
            app.post_message(Key(key, key if len(key) == 1 else None))
        for _ in range(5):
            await pilot.pause()
    assert app.return_value == expected


def test_every_field_of_the_screens_is_one_of_these() -> None:
    folder = Path(explorer.ui.__file__).parent
    plain = [path.name for path in folder.rglob("*.py") if " Input(" in path.read_text(encoding="utf-8")]
    assert plain == []
