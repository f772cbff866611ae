"""What `phier-tui --serve` refuses before a browser can ask, and what it tells a tab."""

from __future__ import annotations

import importlib.util
import os
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from explorer.cli import serve
from explorer.cli.main import phier_tui
from explorer.recordings.shipped import DEMO_RECORDING, shipped_folder
from explorer.serve.tab import first_source
from explorer.serve.told import TOKEN_VARIABLE, Told, environment, told_here
from explorer.sources.replay import ReplaySource

TOKEN = "0123456789abcdef"


def refused(*arguments: str, **env: str) -> str:
    """The sentences of a refusal."""
    answer = CliRunner().invoke(phier_tui, arguments, env=env)
    assert answer.exit_code in (1, 2), answer.output
    return " ".join(answer.output.split())


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "gpu-7.example"])
def test_an_address_that_others_reach_needs_a_token(host):
    assert "must show a token" in refused("--serve", "--host", host)


@pytest.mark.parametrize(
    "token", ["short", "with spaces in it, and long", "schlüssel-schlüssel", "tab\tand-sixteen-more"]
)
def test_a_token_that_can_be_guessed_or_not_be_sent_is_refused(token):
    assert "at least 16 ASCII characters" in refused("--serve", "--token", token)
    assert "at least 16 ASCII characters" in refused("--serve", PHIER_SERVE_TOKEN=token)


@pytest.mark.parametrize(
    "arguments",
    [("--host", "localhost"), ("--port", "8000"), ("--token", TOKEN), ("--allow", "/tmp")],
)
def test_the_options_of_serving_need_it(arguments):
    assert f"{arguments[0]} has no effect without --serve" in refused("--demo", *arguments)


@pytest.mark.parametrize("arguments", [("--dense", "demo"), ("--prompt", "x"), ("--record", "x.jsonl")])
def test_the_options_of_a_run_are_refused_where_only_recordings_are_served(arguments):
    assert f"{arguments[0]} has no effect with --serve" in refused("--serve", *arguments)


def test_a_sentence_says_how_to_install_what_is_missing(monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(serve, "find_spec", lambda name: None if name == "textual_serve" else found(name))
    assert 'pip install "phier[serve]"' in refused("--serve")


def test_what_is_not_there_is_said_at_once(tmp_path: Path):
    assert "There is no recording" in refused("--serve", str(tmp_path / "none.jsonl"))
    assert "is no folder" in refused("--serve", "--allow", str(tmp_path / "none"))


def test_a_port_that_is_taken_is_said():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert "can't be used" in refused("--serve", "--port", port)
    assert "can't be used" in refused("--serve", "--host", "no such name", "--token", TOKEN)


def test_a_tab_is_told_everything_but_the_token(monkeypatch):
    told = Told("/recordings", ("/texts",), recording="/recordings/one.jsonl#2", speed=4.0)
    monkeypatch.setenv(TOKEN_VARIABLE, TOKEN)
    inherited = environment(told)
    assert TOKEN not in str(inherited)
    for name, value in inherited.items():
        monkeypatch.setenv(name, value)
    assert told_here() == told
    assert "PHIER_TAB" not in os.environ


def test_a_tab_on_the_tour_begins_before_the_first_step_of_a_recording(tmp_path: Path):
    told = Told(str(tmp_path), tour=True)
    for source in (first_source(told), first_source(replace(told, recording=str(shipped_folder() / DEMO_RECORDING)))):
        assert isinstance(source, ReplaySource)
        source.close()
    assert first_source(replace(told, models="socket", live=True)) is None


def test_the_server_announces_the_tour_and_an_address_that_a_room_can_open(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(serve, "_own_address", lambda: "10.1.2.3")
    serve._say("0.0.0.0", 8000, True, Told("talks", tour=True))
    told = capsys.readouterr().out
    assert "http://10.1.2.3:8000/?token=" in told
    assert "It gives the tour, and shows the recordings in talks." in told
    serve._say("127.0.0.1", 8000, False, Told("talks"))
    assert capsys.readouterr().out.splitlines() == [
        "Open http://127.0.0.1:8000/",
        "It shows the recordings in talks. Ctrl+C stops it.",
    ]
