"""A real headless Chromium, driven through its debugging pipe: keys and clicks go in, the page's state comes out."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

from tests.support.programs import find

_CODES = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40}
"""The keys that a page may look up by number."""


class Browser:
    """One browser with one page. Whatever the page asks of a network, throws or is refused is kept."""

    def __init__(self, width: int = 1280, height: int = 900) -> None:
        program = find("chromium")
        assert program is not None, "no Chromium here"
        self.problems: list[str] = []
        """Exceptions and console messages of the page, and what its policy refused."""
        self.requested: list[str] = []
        """Every address asked for, the page's own among them."""
        self._profile = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        ask, self._ask = os.pipe()
        self._answer, answer = os.pipe()
        # Chromium reads its commands on descriptor 3 and answers on 4, each message ended by a zero byte.
        self._process = subprocess.Popen(
            [
                "bash", "-c", f'exec "$0" "$@" 3<&{ask} 4>&{answer}', program,
                "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
                "--remote-debugging-pipe", f"--user-data-dir={self._profile.name}",
                f"--window-size={width},{height}", "about:blank",
            ],
            pass_fds=(ask, answer),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(ask)
        os.close(answer)
        self._read = os.fdopen(self._answer, "rb")
        self._number = 0
        self._session: str | None = None
        self._loaded: set[str] = set()
        """The tabs whose page is loaded."""
        pages = self._send("Target.getTargets")["targetInfos"]
        self._attach(next(page["targetId"] for page in pages if page["type"] == "page"))

    def new_tab(self) -> str:
        """Opens another tab, which all that follows is about. Returns its name, for `show_tab`."""
        self._session = None
        self._attach(self._send("Target.createTarget", url="about:blank")["targetId"])
        return self.tab

    @property
    def tab(self) -> str:
        """The name of the tab that is shown."""
        assert self._session is not None
        return self._session

    def show_tab(self, tab: str) -> None:
        self._session = tab
        self._send("Page.bringToFront")

    def close_tab(self) -> None:
        """Closes the tab that is shown; `show_tab` comes next."""
        self._send("Page.close")
        self._session = None

    def _attach(self, target: str) -> None:
        self._session = self._send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self._send(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session = None
        self._send("Browser.close")
        self._process.wait(timeout=20)
        self._read.close()
        os.close(self._ask)
        self._profile.cleanup()

    def open(self, path: Path, fragment: str = "") -> None:
        """Opens a file and waits until it is loaded and painted."""
        self.go(path.as_uri() + fragment)
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def go(self, address: str) -> None:
        """Opens an address and waits until it is loaded."""
        self._loaded.discard(self.tab)
        answer = self._send("Page.navigate", url=address)
        assert "errorText" not in answer, answer["errorText"]
        while self.tab not in self._loaded:
            self._take()

    def before_pages(self, script: str) -> None:
        """Runs a script in every page of this tab before its own."""
        self._send("Page.addScriptToEvaluateOnNewDocument", source=script)

    def resize(self, width: int, height: int) -> None:
        self._send("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def download_into(self, folder: Path) -> None:
        """Keeps the files that pages offer in a folder."""
        tab, self._session = self.tab, None
        self._send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self._session = tab

    def cookies(self) -> list[dict[str, Any]]:
        return list(self._send("Network.getCookies")["cookies"])

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression, with promises awaited."""
        answer = self._send("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, selector: str) -> str:
        """The text that can be seen in the first element of a selector."""
        return str(self.value(f"document.querySelector({json.dumps(selector)}).innerText"))

    def press(self, key: str, *, shift: bool = False) -> None:
        modifiers = 8 if shift else 0
        text: dict[str, Any] = {"text": key} if len(key) == 1 else {}
        if key in _CODES:
            text = {"windowsVirtualKeyCode": _CODES[key], **({"text": "\r"} if key == "Enter" else {})}
        self._send("Input.dispatchKeyEvent", type="keyDown", key=key, modifiers=modifiers, **text)
        self._send("Input.dispatchKeyEvent", type="keyUp", key=key, modifiers=modifiers)

    def click(self, selector: str, *, across: float = 0.5) -> None:
        """Presses and releases the mouse on an element, some share of its width from its left edge."""
        box = self.value(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); found.scrollIntoView();"
            " const box = found.getClientRects()[0]; return [box.x, box.y, box.width, box.height]; })()"
        )
        self.click_at(box[0] + across * box[2], box[1] + box[3] / 2)

    def click_at(self, x: float, y: float) -> None:
        """Presses and releases the mouse at a place of the window, in pixels."""
        place = {"x": x, "y": y}
        for kind in ("mousePressed", "mouseReleased"):
            self._send("Input.dispatchMouseEvent", type=kind, button="left", buttons=1, clickCount=1, **place)

    def picture(self) -> bytes:
        """A PNG of the window."""
        return base64.b64decode(self._send("Page.captureScreenshot")["data"])

    def _send(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._ask, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._take()
            if answer.get("id") == self._number:
                assert "error" not in answer, f"{method}: {answer['error']}"
                return dict(answer["result"])

    def _take(self) -> dict[str, Any]:
        """The next message; notes down what it tells of the page."""
        raw = bytearray()
        while (byte := self._read.read(1)) != b"\0":
            assert byte, "the browser has gone"
            raw += byte
        message: dict[str, Any] = json.loads(raw)
        told = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded.add(message["sessionId"])
            case "Runtime.exceptionThrown":
                self.problems.append(told["exceptionDetails"]["exception"].get("description", "exception"))
            case "Runtime.consoleAPICalled":
                self.problems.append(str([argument.get("value") for argument in told["args"]]))
            case "Log.entryAdded":
                self.problems.append(told["entry"]["text"])
            case "Network.requestWillBeSent":
                self.requested.append(told["request"]["url"])
            case "Page.javascriptDialogOpening":
                self.problems.append(f"dialog: {told['message']}")
        return message
