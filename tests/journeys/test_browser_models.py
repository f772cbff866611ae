"""Two tabs with runs of one pair of models, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.browser import Browser
from tests.support.served import Page, Served, until
from tests.support.tiny import byte_tokenizer, save, tiny

pytestmark = pytest.mark.browser


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    tokenizer = byte_tokenizer()
    model = save(tmp_path / "model", tiny("llama", vocab_size=len(tokenizer)), tokenizer)
    env = {"PHIER_RECORDINGS": str(tmp_path / "recordings")}
    options = ("--dense", str(model), "--prune", "magnitude:0.3", "--prompt", "go", "--raw", "--threads", "1")
    with Served("--port", "0", "--models", *options, env=env, log=tmp_path / "log") as served:
        yield served


def test_two_tabs_have_settings_of_their_own_on_one_pair(served, tmp_path):
    with Browser() as browser:
        first = Page(browser, new=False).go(served.address)
        first.until(lambda screen: "magnitude:0.3" in screen and "next token" in screen and "Loading" not in screen)
        holders = [
            one.pid
            for one in psutil.Process(served.process.pid).children()
            if "explorer.serve.models" in str(one.cmdline())
        ]
        second = Page(browser).go(served.address)
        second.until("Shared models")
        browser.press("x")
        second.until("Prune")
        for key in "magnitude:0.6":
            browser.press(key)
        browser.press("Enter")
        second.until("60.0 % of")  # until then `n` is refused, and the text is only what was typed
        browser.press("n")
        second.until("step 1")
        first.show()
        browser.press("n")
        assert "magnitude:0.6" not in first.until("step 1")
        assert len(holders) == 1
        until(lambda: len(list((tmp_path / "recordings").glob("*.jsonl"))) == 2, first.screen)
    until(lambda: not served.tabs(), served.said)
