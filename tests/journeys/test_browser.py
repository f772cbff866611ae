"""The explorer in a real browser: keys, mouse, resize, tabs, reload, the end of the program and of the server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.browser import Browser
from tests.support.served import Page, Served, until

pytestmark = pytest.mark.browser

TOKEN = "a token of tests".replace(" ", "-") + "-0123456789"
LISTED = "wanda:0.05"
"""On the screen once the recordings are listed."""
FIRST = "wanda:0.3"
"""The setting of the one at the top."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as browser:
        yield browser


@pytest.fixture(scope="module")
def served(tmp_path_factory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    env = {"PHIER_RECORDINGS": str(folder / "recordings"), "PHIER_SERVE_TOKEN": TOKEN}
    with Served("--port", "0", env=env, log=folder / "log") as served:
        yield served


@pytest.fixture
def page(browser: Browser, served: Served) -> Iterator[Page]:
    """A new tab on the list of recordings."""
    page = Page(browser).go(f"{served.address}?token={TOKEN}")
    page.until(LISTED)
    yield page
    page.show()
    browser.close_tab()


def test_a_token_opens_it_once_and_nothing_comes_from_elsewhere(browser, served):
    page = Page(browser)
    page.go(served.address)
    assert "needs its token" in browser.text("body")
    page.go(f"{served.address}?token={TOKEN}x")
    assert "needs its token" in browser.text("body")
    assert not browser.cookies()
    browser.requested.clear()
    page.go(f"{served.address}?token={TOKEN}").until(LISTED)
    (cookie,) = browser.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert TOKEN not in cookie["value"]
    assert browser.value("location.href") == served.address
    assert TOKEN not in served.said()
    page.go(served.address).until(LISTED)
    assert len(browser.requested) > 6
    assert all(one.startswith((served.address, "data:")) for one in browser.requested)
    assert not [one for one in browser.problems if "Refused" in one or "violates" in one]


def test_keys_the_mouse_and_the_size_of_the_window(browser, served, page):
    browser.press("ArrowDown")
    page.until("mild.jsonl")
    browser.press("ArrowDown")
    page.until("dropped-attention.jsonl")
    page.click_on("wanda:0.5 ")
    page.until("collapse.jsonl")
    browser.press("Enter")
    page.until("next token")
    wide = browser.value("shown.cols")
    browser.resize(800, 600)
    page.until(lambda screen: browser.value("shown.cols") < wide and "next token" in screen)


def test_two_tabs_have_a_program_each_and_closing_one_ends_its_own(browser, served, page):
    first, before = page, set(served.tabs())
    second = Page(browser).go(served.address)
    second.until(LISTED)
    (own,) = set(served.tabs()) - before
    browser.press("Enter")
    second.until(lambda screen: FIRST in screen and "recordings" not in screen.splitlines()[0])
    assert "recordings" in first.show().screen().splitlines()[0]
    second.show()
    browser.close_tab()
    until(lambda: not psutil.pid_exists(own), lambda: str(served.tabs()))
    first.show()
    browser.press("/")
    browser.press("x")
    first.until("x")
    assert set(served.tabs()) == before


def test_a_reload_begins_again_and_the_program_before_ends(browser, served, page):
    before = set(served.tabs())
    browser.press("Enter")
    page.until(lambda screen: "recordings" not in screen.splitlines()[0])
    page.go(served.address).until(lambda screen: LISTED in screen and "recordings" in screen.splitlines()[0])
    until(lambda: len(before - set(served.tabs())) == 1, lambda: str(served.tabs()))
    assert len(served.tabs()) == len(before)


def test_quitting_is_said_and_the_program_can_be_opened_again(browser, served, page):
    browser.press("q")
    page.until_said("The program has ended.")
    browser.press("Enter")
    page.until(LISTED)


def test_what_is_copied_is_a_download_of_the_browser(browser, served, page, tmp_path: Path):
    browser.download_into(tmp_path)
    browser.press("y")
    page.until("panel")
    browser.press("y")
    until(lambda: [one for one in tmp_path.glob("*.txt") if LISTED in one.read_text()], page.screen)


def test_a_page_of_another_site_gets_no_connection(browser, served, page):
    Page(browser).go("data:text/html,<title>elsewhere</title>")
    address = json.dumps(served.address.replace("http", "ws", 1) + "ws")
    opened = f"new Promise(done => {{ const one = new WebSocket({address});"
    opened += "one.onopen = () => done('open'); one.onerror = () => done('refused'); })"
    before = served.tabs()
    assert browser.value(opened) == "refused"
    assert served.tabs() == before


def test_a_page_says_that_the_server_has_stopped_and_when_it_is_back(browser, tmp_path: Path):
    env = {"PHIER_RECORDINGS": str(tmp_path / "recordings")}
    with Served("--port", "0", env=env, log=tmp_path / "log") as served:
        page = Page(browser).go(served.address)
        page.until(LISTED)
        (tab,) = served.tabs()
        assert served.stop() == 0
    page.until_said("The server has stopped.")
    assert not psutil.pid_exists(tab)
    with Served("--port", str(served.port), env=env, log=tmp_path / "log") as served:
        page.until_said("The server is back.")
        browser.press("Enter")
        page.until(LISTED)
