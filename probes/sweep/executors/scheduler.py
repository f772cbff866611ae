"""Connects to the scheduler of a dask cluster, or says in a sentence why that is not possible."""

from __future__ import annotations

import asyncio
import importlib.util
import logging
import warnings
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from probes.schema.errors import BadInput, Failure
from probes.schema.foreign_text import said, visible

if TYPE_CHECKING:
    from distributed import Client

_SECONDS = 10.0
"""For which an answer is waited for."""
_TITLE = "Scheduler"
_START = "Start one with `dask scheduler`, and give the address that it prints."
_TLS_FILES = (
    "Name the three files in DASK_DISTRIBUTED__COMM__TLS__CA_FILE, DASK_DISTRIBUTED__COMM__TLS__CLIENT__CERT and "
    "DASK_DISTRIBUTED__COMM__TLS__CLIENT__KEY, or in dask's configuration."
)


def scheduler_address(text: str) -> str:
    """The address with its scheme: "tcp://127.0.0.1:8786". Raises `BadInput` if it is none, or if dask is missing."""
    if importlib.util.find_spec("distributed") is None:
        needed = "--scheduler needs dask.distributed, and it is not installed."
        raise BadInput("No dask", needed, "Install it with: pip install 'phier[cluster]'")
    address = text.strip() if "://" in text else f"tcp://{text.strip()}"
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        port = None
    if not port or not parts.hostname or parts.scheme not in ("tcp", "tls") or parts.path.strip("/"):
        message = f"{visible(text, 60)!r} is no address of a scheduler."
        raise BadInput(_TITLE, message, "Write tcp://HOST:PORT, or tls://HOST:PORT.")
    return address.rstrip("/")


def exposure(address: str) -> str:
    """A sentence if others on the network could use the cluster; "" with TLS and on this machine."""
    parts = urlsplit(address)
    host = parts.hostname or ""
    try:
        here = ip_address(host).is_loopback
    except ValueError:
        here = host == "localhost"
    if here or parts.scheme == "tls":
        return ""
    return (
        f"{visible(address)} is not protected: everybody who can reach it can run programs on every machine of the "
        "cluster. Use tls://, or a network of your own."
    )


def connect(text: str) -> Client:
    """A connection to the scheduler at this address. The files for TLS are those of dask's configuration.

    Raises `BadInput` if the address is none or TLS is not set up, `Failure` if no scheduler answers.
    """
    address = scheduler_address(text)
    from distributed import Client, Security

    logging.getLogger("distributed").setLevel(logging.CRITICAL)  # what happens is said in sentences of our own
    try:
        security = Security()
        tls = security.get_tls_config_for_role("client")
        if address.startswith("tls://") and not (tls["ca_file"] and tls["cert"]):
            raise BadInput("TLS", f"{visible(address)} needs certificates, and none are configured.", _TLS_FILES)
        kind = asyncio.run(asyncio.wait_for(_kind(address, security), _SECONDS))
    except (OSError, ValueError, TypeError, MemoryError, EOFError) as problem:
        raise _unreachable(address, problem) from problem
    if kind != "Scheduler":
        raise BadInput(_TITLE, f"{visible(address)} is no scheduler, but a {visible(kind, 40)}.", _START)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # versions are compared by their own sentences
        return Client(address, security=security, timeout=_SECONDS, set_as_default=False)


async def _kind(address: str, security: object) -> str:
    """What answers there: "Scheduler", "Worker"."""
    from distributed import Security, rpc

    assert isinstance(security, Security)
    async with rpc(address, timeout=_SECONDS / 2, connection_args=security.get_connection_args("client")) as server:
        found = await server.identity()
    return str(found["type"])


def _unreachable(address: str, problem: BaseException) -> Failure:
    silent = isinstance(problem, TimeoutError) or "Timed out" in str(problem)
    reason = "nothing answers there" if silent else said(problem, 200).rstrip(".")
    hint = _START if address.startswith("tls://") else f"{_START} If it uses TLS, write tls:// before it."
    return Failure(_TITLE, f"{visible(address)} does not answer as a scheduler of dask: {reason}.", hint)
