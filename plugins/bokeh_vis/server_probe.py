"""Plain HTTP requests that tell what is wrong with an address before Bokeh's client hangs on it."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
import time
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
    server = urlsplit(address.server)
    where = server.netloc
    try:
        status, _ = _request(address, "HEAD", SCRIPT)
    except ssl.SSLError as error:
        raise ConnectionFailed(f"{where} does not speak https ({error.reason}); write http://{where}/") from error
    except TimeoutError as error:
        raise ConnectionFailed(
            f"{where} does not answer within {SECONDS:g} s; check that a Bokeh server runs there and is not stopped"
        ) from error
    except socket.gaierror as error:
        raise ConnectionFailed(f"the host {server.hostname!r} is not known; check the address") from error
    except http.client.HTTPException as error:
        raise ConnectionFailed(
            f"{where} is no web server, or speaks https (it answered {str(error)[:40]!r}); check the port"
        ) from error
    except OSError as error:
        raise ConnectionFailed(
            f"nothing listens at {where} ({error.strerror or error}); "
            f"start one there: aimet-hooks serve --port {server.port or 5006}"
        ) from error
    if status != http.client.OK:
        raise another_server(address, status)


def another_server(address: Address, status: int) -> ConnectionFailed:
    """What is said where a web server answers that is no Bokeh server."""
    return ConnectionFailed(
        f"another web server answers at {address.server} (HTTP status {status}); give the address of a Bokeh server, "
        "with its prefix where it was started with --prefix"
    )


def token_seconds(address: Address) -> float | None:
    """Seconds for which tabs can still be opened on a session that exists; None where that cannot be found out."""
    try:
        status, page = _request(address, "GET", f"?{SESSION_ARGUMENT}={quote(address.session_id, safe='')}")
        token = _TOKEN.search(page)
        if status != http.client.OK or token is None:
            return None
        return float(get_token_payload(token[1].decode())["session_expiry"]) - time.time()
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        return None


def _request(address: Address, method: str, path: str) -> tuple[int, bytes]:
    server = urlsplit(address.server)
    kind = http.client.HTTPSConnection if server.scheme == "https" else http.client.HTTPConnection
    connection = kind(server.hostname or "", server.port, timeout=SECONDS)
    try:
        connection.request(method, f"{server.path}{path}")
        response = connection.getresponse()
        return response.status, response.read(_LARGEST_PAGE)
    finally:
        connection.close()
