"""`phier-tui --serve`: the explorer in a browser. Its options, and what is refused before a browser can ask."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from explorer.cli.options import Typed, option
from explorer.config.screen_options import ScreenOptions
from probes.schema.errors import BadInput
from probes.schema.foreign_text import visible
from probes.schema.settings import Follow, RunSettings
from probes.schema.spec import PairSpec
from probes.system.user_folders import expanded, recordings_folder

if TYPE_CHECKING:
    from explorer.serve.told import Told

HOST, PORT = "127.0.0.1", 8000
_serving = partial(option, section="Browser")
_OPTIONS = (
    _serving("--serve", is_flag=True, help="Serve recordings to a browser instead of opening them in this terminal."),
    _serving("--models", is_flag=True, help="Also serve runs of the models, one pair for all tabs."),
    _serving(
        "--host",
        default=HOST,
        help=f"The address to serve on; any but this machine's own needs --token. [default: {HOST}]",
    ),
    _serving(
        "--port", type=click.IntRange(0, 65535), default=PORT, help=f"The port; 0 takes a free one. [default: {PORT}]"
    ),
    _serving("--token", default="", help="What a browser must show. PHIER_SERVE_TOKEN sets it unseen by other users."),
    _serving(
        "--allow", multiple=True, metavar="FOLDER", help="Another folder that paths typed in the browser may lead into."
    ),
)
_NAMES = ("models", "host", "port", "token", "allow")


@dataclass(frozen=True, slots=True)
class Serving:
    """What was asked of the server."""

    models: bool
    host: str
    port: int
    token: str
    allow: tuple[str, ...]

    def serve(
        self,
        recording: str,
        number: int | None,
        demo: bool,
        play: bool,
        speed: float | None,
        loop: bool,
        tour: bool,
        look: ScreenOptions,
        keymap: Mapping[str, str],
        spec: PairSpec,
        settings: RunSettings,
        listed: bool,
    ) -> None:
        """Serves until Ctrl+C. Raises `BadInput` or `Failure` before it begins."""
        token = _token(self.token, self.host)
        if find_spec("textual_serve") is None:
            raise BadInput("Browser", "Serving needs textual-serve.", 'Install it: pip install "phier[serve]".')
        from explorer.recordings.opening import open_recording, open_tour
        from explorer.serve.access import Access, is_loopback
        from explorer.serve.server import PageServer, listening_at
        from explorer.serve.told import Told, environment

        allowed = [_folder(one) for one in self.allow]
        place = Path(os.path.abspath(expanded(recording))) if recording else None
        folder = place if place is not None and place.is_dir() else None
        opened = "" if folder is not None else recording and os.path.abspath(expanded(recording))
        named = bool(opened) or demo
        if named or (tour and not self.models):  # what is wrong is said here
            run = opened, number
            first = open_tour(*run, speed) if tour else open_recording(*run, demo, play, speed, loop)
            assert first is not None
            first.close()
        told = Told(
            folder=str(folder or recordings_folder().absolute()),
            allowed=tuple(allowed),
            readable=_belongs_to(opened),
            shipped=folder is None,
            recording=opened,
            number=number,
            demo=demo,
            play=play,
            speed=speed,
            loop=loop,
            tour=tour,
            look=look,
            keymap=dict(keymap),
        )
        listening = listening_at(self.host, self.port)
        if self.models:
            from explorer.serve.models_process import started_models

            live = not (listed or named or folder is not None)
            if tour:  # as in a terminal
                settings = replace(settings, follow=Follow.FREE)
            address, key = started_models(spec, settings, told)
            told = replace(told, models=address, key=key.hex(), live=live)
        port = listening.getsockname()[1]
        names = (
            frozenset()
            if is_loopback(self.host)
            else frozenset({socket.gethostname().lower(), socket.getfqdn().lower()})
        )
        server = PageServer(Access(self.host, port, token, names), environment(told))
        server.serve_on(listening, lambda: _say(self.host, port, bool(token), told))


def serves(function: Callable[..., Any]) -> Callable[..., Any]:
    """The options of serving, as `serving`: None without --serve."""

    @wraps(function)
    def with_serving(typed: Typed, *, serve: bool, **given: Any) -> Any:
        asked = Serving(**{name: given.pop(name) for name in _NAMES})
        if not serve:
            typed.refuse(_NAMES, "without --serve", "Add --serve, or leave it out.")
        return function(typed, serving=asked if serve else None, **given)

    made: Callable[..., Any] = with_serving
    for add in reversed(_OPTIONS):
        made = add(made)
    return made


def _token(typed: str, host: str) -> str:
    """The token, from the option or the environment. Raises `BadInput` if there must be one, or a longer one."""
    from explorer.serve.access import SHORTEST_TOKEN, is_loopback
    from explorer.serve.told import TOKEN_VARIABLE

    token = typed or os.environ.pop(TOKEN_VARIABLE, "")
    make = "python -c 'import secrets; print(secrets.token_urlsafe())' makes one."
    if not token and not is_loopback(host):
        raise BadInput(
            "No token",
            f"{visible(host, 100)} can be reached from other machines, so whoever opens it must show a token.",
            f"Set {TOKEN_VARIABLE}, or give --token. {make}",
        )
    if token and (len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token):
        raise BadInput("Token", f"A token has at least {SHORTEST_TOKEN} ASCII characters, without spaces.", make)
    return token


def _folder(name: str) -> str:
    path = expanded(name).absolute()
    if not path.is_dir():
        raise BadInput("Folder", f"--allow {visible(name, 300)} is no folder.", "Name one that is there.")
    return str(path)


def _belongs_to(recording: str) -> tuple[str, ...]:
    """The file that is opened, and the folder of its cells if it is a sweep's."""
    if not recording:
        return ()
    from explorer.sources.chosen import chosen
    from probes.sweep.sweep_file import cells_folder

    path = chosen(recording).path
    return str(path), str(cells_folder(path))


def _say(host: str, port: int, token: bool, told: Told) -> None:
    everywhere = host in ("0.0.0.0", "::", "")
    name = socket.gethostname() if everywhere else f"[{host}]" if ":" in host else host
    shown = "?token=… with the token" if token else ""
    click.echo(f"Open http://{name}:{port}/{shown}")
    if everywhere and (address := _own_address()):
        click.echo(f"or   http://{address}:{port}/{shown}")
    tour = "It gives the tour, and" if told.tour else "It"
    click.echo(f"{tour} shows the recordings in {visible(told.folder)}. Ctrl+C stops it.")


def _own_address() -> str:
    """The address by which this machine would reach others, which can often reach it there; "" if it has none.

    Nothing is sent: a datagram socket only chooses its route.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as route:
        try:
            route.connect(("192.0.2.1", 9))  # an address of no machine, for documentation
        except OSError:
            return ""
        return str(route.getsockname()[0])
