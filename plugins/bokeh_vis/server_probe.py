"""Plain HTTP requests that tell what is wrong with an address before Bokeh's client hangs on it."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from bokeh.util.token import get_token_payload

from bokeh_vis.address import SESSION_ARGUMENT

if TYPE_CHECKING:
    from bokeh_vis.address import Address

SECONDS = 2.0
"""How long a server may take to answer."""

SCRIPT = "static/js/bokeh.min.js"
"""A file that every Bokeh server has; asking for it creates no session."""

_TOKEN = re.compile(rb'"token":\s*"([^"]+)"')
_LARGEST_PAGE = 1 << 20


class ConnectionFailed(Exception):  # noqa: N818 -- what happened, not a mistake of the program
    """There is no live page; the message is a clause that says why and what to do."""


def probe(address: Address) -> None:
    """Find out whether a Bokeh server answers.

    Raises:
        ConnectionFailed: If not; the message says what answers instead.
    """
    try:
        status, is_script = _ask_for_script(address)
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionFailed(_what_is_wrong(address, error)) from error
    if status != http.client.OK or not is_script:
        raise another_server(address, status)


def _what_is_wrong(address: Address, error: Exception) -> str:
    server = urlsplit(address.server)
    where = server.netloc
    waits_for_more = isinstance(error, TimeoutError) and server.scheme == "https" and _speaks_http(address)
    if isinstance(error, ssl.SSLError) or waits_for_more:
        why = f" ({error.reason})" if isinstance(error, ssl.SSLError) and error.reason else ""
        return f"{where} does not speak https{why}; write {address.server.replace('https:', 'http:', 1)}"
    if isinstance(error, TimeoutError):
        return f"{where} does not answer within {SECONDS:g} s; check that a Bokeh server runs there and is not stopped"
    if isinstance(error, socket.gaierror):
        return f"the host {server.hostname!r} is not known; check the address"
    if isinstance(error, (ConnectionResetError, BrokenPipeError)):
        return f"{where} closes every connection; check the port, another program may have it"
    if isinstance(error, http.client.HTTPException):
        return f"{where} is no web server, or speaks https (it answered {str(error)[:40]!r}); check the port"
    why = error.strerror or str(error) if isinstance(error, OSError) else str(error)
    return f"nothing listens at {where} ({why}); start one there: aimet-hooks serve --port {server.port or 5006}"


def another_server(address: Address, status: int) -> ConnectionFailed:
    """What is said where a web server answers that is no Bokeh server."""
    return ConnectionFailed(
        f"another web server answers at {address.server} (HTTP status {status}); give the address of a Bokeh server, "
        "with its prefix where it was started with --prefix"
    )


def token_seconds(address: Address) -> float | None:
    """Seconds for which tabs can still be opened on a session that exists; None where that cannot be found out."""
    try:
        status, _, page = _request(address, "GET", f"?{SESSION_ARGUMENT}={quote(address.session_id, safe='')}")
        token = _TOKEN.search(page)
        if status != http.client.OK or token is None:
            return None
        return float(get_token_payload(token[1].decode())["session_expiry"]) - time.time()
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None


def _ask_for_script(address: Address) -> tuple[int, bool]:
    """HTTP status, and whether it is a script that is answered; many servers answer everything with a page."""
    status, kind, _ = _request(address, "HEAD", SCRIPT)
    return status, "javascript" in kind


def _speaks_http(address: Address) -> bool:
    try:
        return _ask_for_script(replace(address, server=address.server.replace("https:", "http:", 1)))[1]
    except (OSError, http.client.HTTPException):
        return False


def _request(address: Address, method: str, path: str) -> tuple[int, str, bytes]:
    """HTTP status, type of the content, content."""
    server = urlsplit(address.server)
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    connection = kind(server.hostname or "", server.port, timeout=SECONDS)
    over = threading.Event()

    def hang_up() -> None:
        over.set()
        if connection.sock is not None:
            with contextlib.suppress(OSError):
                connection.sock.shutdown(socket.SHUT_RDWR)

    limit = threading.Timer(SECONDS, hang_up)  # a timeout of the socket begins anew with every byte
    limit.daemon = True
    limit.start()
    try:
        connection.request(method, f"{server.path}{path}")
        response = connection.getresponse()
        return response.status, response.getheader("Content-Type", ""), response.read(_LARGEST_PAGE)
    except (OSError, http.client.HTTPException) as error:
        if over.is_set():
            raise TimeoutError from error
        raise
    finally:
        limit.cancel()
        connection.close()
