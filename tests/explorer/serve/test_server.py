"""The server's answers, without a browser."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from typing import Any

import psutil
import pytest
from aiohttp import WSMsgType
from aiohttp.test_utils import TestClient, TestServer

from explorer.serve import server as module
from explorer.serve.access import Access
from explorer.serve.server import PageServer, Tab

TOKEN = "0123456789abcdef"
_ECHO = "import sys; sys.stdout.buffer.write(b'__GANGLION__\\n'); sys.stdout.flush(); sys.stdin.buffer.read()"
"""In place of a tab: begins like one, and ends only when its input does."""


@pytest.fixture
async def client(monkeypatch) -> AsyncIterator[TestClient]:
    real = asyncio.create_subprocess_exec

    def instead(*_command: str, **options: Any) -> Any:
        return real(sys.executable, "-c", _ECHO, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", instead)
    monkeypatch.setattr(module, "_PATIENCE", 0.05)
    server = TestServer(await PageServer(Access("127.0.0.1", 8000, TOKEN), {})._make_app())
    async with TestClient(server) as client:
        yield client


def origin(client: TestClient) -> dict[str, str]:
    return {"Origin": f"http://{client.host}:{client.port}"}


async def test_every_address_needs_the_token(client):
    for path in ("/", "/alive", "/page/page.js", "/static/js/textual.js", "/download/x", "/ws", "/none"):
        answer = await client.get(path)
        assert answer.status == 403, path
    assert (await client.get(f"/?token={TOKEN}")).status == 200
    found = {"/": 200, "/alive": 204, "/page/page.js": 200, "/static/js/textual.js": 200}
    missing = dict.fromkeys(("/page/server.py", "/static/../server.py", "/download/x", "/none"), 404)
    for path, status in (found | missing).items():
        assert (await client.get(path)).status == status, path


async def test_its_page_loads_nothing_from_elsewhere_and_is_in_no_frame(client):
    answer = await client.get(f"/?token={TOKEN}")
    text, policy = await answer.text(), answer.headers["Content-Security-Policy"]
    assert "http" not in text.replace('charset="utf-8"', "")
    assert policy.startswith("default-src 'none'; script-src 'self';")
    assert "frame-ancestors 'none'" in policy
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert "HttpOnly" in answer.headers["Set-Cookie"]
    assert "SameSite=Strict" in answer.headers["Set-Cookie"]


async def test_a_tab_has_a_process_which_ends_with_it_even_if_it_does_not_want_to(client, monkeypatch):
    tabs: list[Tab] = []
    started = Tab.start

    async def start(self: Tab, width: int, height: int) -> None:
        assert (width, height) == (1_000, 24)
        await started(self, width, height)
        tabs.append(self)

    monkeypatch.setattr(Tab, "start", start)
    await client.get(f"/?token={TOKEN}")
    path = "/ws?width=99999999&height=x"
    websocket = await client.ws_connect(path, headers=origin(client))
    for nonsense in (
        "",
        "{",
        "[]",
        "[1]",
        "null",
        '["stdin"]',
        '["stdin", 1]',
        '["resize", {"width": "x"}]',
        "[" * 9_999,
    ):
        await websocket.send_str(nonsense)
    await websocket.send_bytes(b"\xff")
    await websocket.send_str('["ping", "7"]')
    assert await websocket.receive_json() == ["pong", "7"]
    (process,) = [tab._process for tab in tabs]
    assert psutil.pid_exists(process.pid)
    await websocket.close()
    await process.wait()
    assert process.returncode is not None


async def test_a_tab_too_many_is_told_so(client, monkeypatch):
    monkeypatch.setattr(module, "MOST_TABS", 1)
    await client.get(f"/?token={TOKEN}")
    first = await client.ws_connect("/ws", headers=origin(client))
    second = await client.ws_connect("/ws", headers=origin(client))
    message = await second.receive()
    assert message.type is WSMsgType.CLOSE
    assert (message.data, message.extra) == (1013, "1 tabs are open. Close one first.")
    await first.close()


async def test_a_program_that_ends_closes_its_connection(client, monkeypatch):
    monkeypatch.setattr(sys.modules[__name__], "_ECHO", "print('__GANGLION__')")
    await client.get(f"/?token={TOKEN}")
    websocket = await client.ws_connect("/ws", headers=origin(client))
    message = await websocket.receive()
    assert message.type is WSMsgType.CLOSE
    assert message.data == 1000


async def test_a_process_ends_if_stopping_it_is_cancelled(client, monkeypatch):
    tabs: list[Tab] = []
    started = Tab.start

    async def start(self: Tab, width: int, height: int) -> None:
        await started(self, width, height)
        tabs.append(self)

    monkeypatch.setattr(Tab, "start", start)
    monkeypatch.setattr(module, "_PATIENCE", 60.0)
    await client.get(f"/?token={TOKEN}")
    await client.ws_connect("/ws", headers=origin(client))
    while not tabs:
        await asyncio.sleep(0.01)
    process = tabs[0]._process
    assert process is not None
    stopping = asyncio.create_task(tabs[0].stop())
    await asyncio.sleep(0.1)
    stopping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stopping
    assert process.returncode == -9
