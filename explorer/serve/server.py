"""The server: textual-serve's, with a page of its own, a guard before every request, and an end to every tab."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from contextlib import suppress
from importlib.resources import files
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.server import Server

from explorer.serve.access import Access
from probes.schema.errors import Failure

MOST_TABS = 16
"""Each is a process of its own."""
_LARGEST = 1_000
"""Columns or rows of a window."""
_PATIENCE = 5.0
"""Seconds that the process of a closed tab has to end by itself."""
_TRY_AGAIN_LATER = 1013
_PAGE = {"page.css": "text/css", "page.js": "text/javascript"}


class Tab(AppService):
    """A process of the program, which draws what one browser tab shows."""

    def __init__(self, environment: Mapping[str, str], **given: Any) -> None:
        super().__init__("", **given)
        self._environment = environment

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        made = {"COLUMNS": str(width), "ROWS": str(height), "TEXTUAL_COLOR_SYSTEM": "truecolor"}
        return {**self._environment, **made}

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        # In a session of its own, Ctrl+C reaches only the server, which ends its tabs in order. The present folder is
        # no place to import from (-P).
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "explorer.serve.tab",
            stdin=PIPE, stdout=PIPE, stderr=PIPE,
            env=self._build_environment(width, height), start_new_session=True,
        )  # fmt: skip
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        """Passes on what the process draws; when it ends, so does the connection."""
        try:
            await super().run()
        finally:
            await self.remote_close()

    async def stop(self) -> None:
        """Asks the process to end, and makes it, at once if this is cancelled."""
        process = self._process
        ended = asyncio.create_task(super().stop())
        try:
            await asyncio.wait([ended], timeout=_PATIENCE)
            if process is not None:
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(process.wait(), _PATIENCE)
        finally:
            if process is not None and process.returncode is None:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await ended
            if process is not None:
                await process.wait()


class PageServer(Server):
    """Serves the explorer to browsers."""

    def __init__(self, access: Access, environment: Mapping[str, str]) -> None:
        """`environment` is that of each tab's process."""
        super().__init__("phier-tui", host=access.host, port=access.port, title="phier")
        self._access, self._environment = access, environment
        self._open: set[web.WebSocketResponse] = set()
        html = files("explorer.serve")
        self._files = {name: html.joinpath(name).read_text("utf-8") for name in ("page.html", *_PAGE)}

    async def _make_app(self) -> web.Application:
        app = web.Application(middlewares=[self._guard])
        app.add_routes(
            [
                web.get("/", self._page),
                web.get("/page/{name}", self._page_file),
                web.get("/alive", self._alive),
                web.get("/ws", self.handle_websocket),
                web.get("/download/{key}", self.handle_download),
                web.static("/static", self.statics_path),
            ]
        )
        app.on_response_prepare.append(self._secure)
        app.on_shutdown.append(self.on_shutdown)
        return app

    def serve_on(self, listening: socket.socket, said: Callable[[], None]) -> None:
        """Serves until Ctrl+C or SIGTERM. `said` is called once it answers."""
        loop = asyncio.new_event_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.request_exit)
        web.run_app(
            self._make_app(),
            sock=listening,
            print=lambda *_: said(),
            handle_signals=False,
            access_log=None,  # it would show the token
            loop=loop,
        )

    @web.middleware
    async def _guard(self, request: web.Request, handler: Any) -> web.StreamResponse:
        refused = self._access.refusal(request.headers, request.query, websocket=request.path == "/ws")
        if refused:
            return web.Response(status=403, text=f"{refused}\n")
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _secure(self, request: web.Request, answer: web.StreamResponse) -> None:
        """Nothing is loaded from elsewhere, no other page may frame this one, and no address is told to others."""
        answer.headers.update(
            {
                "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
                f"font-src 'self'; img-src 'self' data:; connect-src 'self' ws://{request.host} wss://{request.host}; "
                "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
                "Cross-Origin-Opener-Policy": "same-origin",
                "Cross-Origin-Resource-Policy": "same-origin",
                "Referrer-Policy": "no-referrer",
                "X-Content-Type-Options": "nosniff",
            }
        )

    async def _page(self, request: web.Request) -> web.Response:
        answer = web.Response(text=self._files["page.html"], content_type="text/html")
        answer.headers["Cache-Control"] = "no-store"
        if self._access.shows_token(request.query):
            answer.set_cookie(self._access.cookie_name, self._access.cookie, httponly=True, samesite="Strict", path="/")
        return answer

    async def _page_file(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in _PAGE:
            raise web.HTTPNotFound
        return web.Response(text=self._files[name], content_type=_PAGE[name])

    async def _alive(self, _request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Begins a process for a tab, and ends it when the tab is closed."""
        websocket = web.WebSocketResponse(heartbeat=15)
        await websocket.prepare(request)
        if len(self._open) >= MOST_TABS:
            await websocket.close(
                code=_TRY_AGAIN_LATER, message=f"{MOST_TABS} tabs are open. Close one first.".encode()
            )
            return websocket
        self._open.add(websocket)
        tab = Tab(
            self._environment,
            write_bytes=websocket.send_bytes,
            write_str=websocket.send_str,
            close=websocket.close,
            download_manager=self.download_manager,
        )
        try:
            await tab.start(_within(request.query.get("width"), 80), _within(request.query.get("height"), 24))
            async for message in websocket:
                if message.type is WSMsgType.TEXT:
                    await _pass_on(message.data, tab)
        finally:
            self._open.discard(websocket)
            await asyncio.shield(tab.stop())  # also if aiohttp gives this request up
        return websocket

    async def on_shutdown(self, app: web.Application) -> None:  # noqa: ARG002 - aiohttp's
        """Tells every tab that the server ends."""
        await asyncio.gather(*(one.close(code=WSCloseCode.GOING_AWAY) for one in set(self._open)))


async def _pass_on(text: str, tab: Tab) -> None:
    """Passes on what the page sent. Nonsense is ignored: it harms only the tab that it came from."""
    try:
        match json.loads(text):
            case ["stdin", str(typed)]:
                await tab.send_bytes(typed.encode("utf-8", "replace"))
            case ["resize", {"width": int(width), "height": int(height)}]:
                await tab.set_terminal_size(_within(width, 80), _within(height, 24))
            case ["focus", *_]:
                await tab.focus()
            case ["blur", *_]:
                await tab.blur()
            case ["ping", sent]:
                await tab.remote_write_str(json.dumps(["pong", sent]))
    except (ValueError, RecursionError):
        return


def _within(size: object, default: int) -> int:
    """A number of columns or rows that a window can have."""
    try:
        return min(max(int(str(size)), 1), _LARGEST)
    except ValueError:
        return default


def listening_at(host: str, port: int) -> socket.socket:
    """A socket that browsers can reach. Raises `Failure` if the address can't be had."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        return socket.create_server(address, family=family)
    except (OSError, UnicodeError, OverflowError) as problem:
        reason = problem.strerror if isinstance(problem, OSError) and problem.strerror else str(problem)
        raise Failure(
            "Can't serve", f"{host}, port {port}, can't be used: {reason}.", "Choose another --host or --port."
        ) from problem
