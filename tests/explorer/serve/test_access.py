"""Who is let in, from the headers of a request."""

from __future__ import annotations

import pytest

from explorer.serve.access import Access, is_loopback

TOKEN = "0123456789abcdef"
LOCAL = Access("127.0.0.1", 8000)
OPEN = Access("0.0.0.0", 8000, TOKEN, frozenset({"gpu-7"}))


@pytest.mark.parametrize(
    ("access", "host", "there"),
    [
        (LOCAL, "127.0.0.1:8000", True),
        (LOCAL, "LOCALHOST:9000", True),  # through a tunnel from another port
        (LOCAL, "[::1]:8000", True),
        (LOCAL, "localhost.", True),
        (LOCAL, "rebound.example:8000", False),
        (LOCAL, "127.0.0.1.rebound.example", False),
        (LOCAL, "192.168.1.5:8000", False),
        (LOCAL, "", False),
        (LOCAL, "[", False),
        (OPEN, "192.168.1.5:8000", True),
        (OPEN, "[fe80::1]:8000", True),
        (OPEN, "GPU-7:8000", True),
        (OPEN, "rebound.example:8000", False),
    ],
)
def test_a_name_that_somebody_else_gave_this_machine_is_refused(access, host, there):
    refused = access.refusal({"Host": host}, {"token": TOKEN})
    assert ("name" in refused) is not there


@pytest.mark.parametrize(
    ("origin", "websocket", "same"),
    [
        ("http://localhost:8000", True, True),
        ("https://localhost:8000", True, True),
        ("", False, True),
        ("", True, False),  # every browser sends it with a connection
        ("null", True, False),
        ("http://localhost:8001", True, False),
        ("http://elsewhere.example", True, False),
        ("http://elsewhere.example", False, False),
        ("file://localhost:8000", True, False),
        ("http://[", True, False),
    ],
)
def test_only_pages_of_this_address_may_connect(origin, websocket, same):
    headers = {"Host": "localhost:8000", **({"Origin": origin} if origin else {})}
    assert ("another site" in LOCAL.refusal(headers, {}, websocket=websocket)) is not same


def test_the_token_opens_once_and_then_its_cookie():
    headers = {"Host": "gpu-7"}
    assert not OPEN.refusal(headers, {"token": TOKEN})
    assert not OPEN.refusal({**headers, "Cookie": f"other=1; {OPEN.cookie_name}={OPEN.cookie}"}, {})
    assert TOKEN not in OPEN.cookie
    for query in (
        {},
        {"token": ""},
        {"token": TOKEN[:-1]},
        {"token": f"{TOKEN}0"},
        {"token": "é"},
        {"token": "\ud800"},
    ):
        assert "token" in OPEN.refusal(headers, query)
    for cookie in ("", f"{OPEN.cookie_name}={TOKEN}", f"{OPEN.cookie_name}=", f"phier-8001={OPEN.cookie}", "\x00=;"):
        assert "token" in OPEN.refusal({**headers, "Cookie": cookie}, {})


def test_another_token_has_another_cookie_and_no_token_lets_everybody_in():
    assert Access("0.0.0.0", 8000, TOKEN[::-1]).cookie != OPEN.cookie
    assert not LOCAL.refusal({"Host": "localhost:8000"}, {})
    assert not LOCAL.shows_token({"token": ""})


@pytest.mark.parametrize(
    ("host", "only_here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False),
     ("192.168.0.1", False), ("gpu-7", False), ("", False)],
)  # fmt: skip
def test_which_addresses_only_this_machine_reaches(host, only_here):
    assert is_loopback(host) is only_here
