"""Who may use the server: decided from the headers of a request alone."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import urlsplit

SHORTEST_TOKEN = 16
"""In characters. Nothing slows down a guesser, so a token must be too long to be guessed."""
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


@dataclass(frozen=True, slots=True)
class Access:
    """The address that is served, and the token that opens it."""

    host: str
    port: int
    token: str = ""
    """"" lets everybody in who can reach the address."""
    names: frozenset[str] = frozenset()
    """More names of this machine by which a browser may ask for it."""

    @property
    def cookie_name(self) -> str:
        """Cookies are shared by all ports of a host, so the name has the port."""
        return f"phier-{self.port}"

    @property
    def cookie(self) -> str:
        """What a browser that showed the token keeps in its place: it proves the token, and does not tell it."""
        return hmac.new(self.token.encode(), b"phier cookie", hashlib.sha256).hexdigest()

    def shows_token(self, query: Mapping[str, str]) -> bool:
        """Is the token in the address?"""
        return bool(self.token) and _same(query.get("token", ""), self.token)

    def refusal(self, headers: Mapping[str, str], query: Mapping[str, str], *, websocket: bool = False) -> str:
        """The sentence of a refusal; "" if the request may be answered.

        A page of another site can make a browser send requests, but not with this site's `Origin`, nor with its own
        name in place of this machine's in `Host`, nor with the cookie, which is `SameSite=Strict`.
        """
        asked = _host_of(f"//{headers.get('Host', '')}")
        if not self._is_here(asked):
            return (
                "This server is not known by the name in the address. Use its IP address, or the name of its machine."
            )
        origin = headers.get("Origin", "")
        if (websocket or origin) and _place_of(origin) != headers.get("Host", "").lower():
            return "This request came from a page of another site."
        if self.token and not (self.shows_token(query) or self._has_cookie(headers.get("Cookie", ""))):
            return "This address needs its token: open it with ?token=… at its end."
        return ""

    def _is_here(self, name: str) -> bool:
        """May a browser ask for this name? An address in digits was not looked up, so nobody can have redirected it."""
        if name in _LOOPBACK_NAMES or name == self.host or name in self.names:
            return True
        if is_loopback(self.host):
            return False
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_cookie(self, header: str) -> bool:
        try:
            kept = SimpleCookie(header).get(self.cookie_name)
        except CookieError:
            return False
        return kept is not None and _same(kept.value, self.cookie)


def is_loopback(host: str) -> bool:
    """Can only this machine reach the address?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _place_of(origin: str) -> str | None:
    """Host and port of an origin such as `http://localhost:8000`; None if it is none."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") and not parts.path else None


def _host_of(address: str) -> str:
    try:
        return (urlsplit(address).hostname or "").rstrip(".").lower()
    except ValueError:
        return ""


def _same(shown: str, right: str) -> bool:
    """Compares in a time that does not tell how much of it is right."""
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), right.encode("utf-8", "surrogatepass"))
