"""What a user gives as the address of a live page, and what has to be opened for it."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from dataclasses import dataclass
from urllib.parse import parse_qs, quote, urlsplit

from aimet_hooks.errors import UsageError

DEFAULT_SESSION = "compression"
SESSION_ARGUMENT = "bokeh-session-id"
SIGNING_VARIABLE = "BOKEH_SIGN_SESSIONS"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a page is.

    Attributes:
        server: Address of the Bokeh server, prefix included, with a slash at its end: "http://localhost:5006/".
        session_id: Name of the session that holds the page, with its signature where sessions are signed.
    """

    server: str
    session_id: str = DEFAULT_SESSION

    @property
    def page(self) -> str:
        """What a browser opens."""
        return f"{self.server}?&{SESSION_ARGUMENT}={quote(self.session_id, safe='')}"

    @property
    def websocket(self) -> str:
        """What a program connects to."""
        return f"ws{self.server.removeprefix('http')}ws"


def parse(url: str, session: str = DEFAULT_SESSION) -> Address:
    """The address of the page that a url stands for.

    Args:
        url: "http://host:port/", with a prefix where the server has one; a ``?bokeh-session-id=NAME`` is honoured.
        session: Name of the session where the url names none.

    Raises:
        UsageError: If it is no such url, or names a session that cannot be signed; the message says how to write it.
    """
    try:
        parts = urlsplit(url.strip())
        host, _ = parts.hostname, parts.port
        (host or "").encode("idna")
    except ValueError as error:
        raise UsageError(f"visualization_url {url!r} is no address ({error}); write it as {_EXAMPLE}") from error
    if parts.scheme not in ("http", "https") or not host or not host.isprintable() or " " in host:
        raise UsageError(f"visualization_url {url!r} is no address of a web server; write it as {_EXAMPLE}")
    names = parse_qs(parts.query).get(SESSION_ARGUMENT, [])
    path = quote(parts.path if parts.path.endswith("/") else f"{parts.path}/", safe="/%")
    return Address(f"{parts.scheme}://{parts.netloc}{path}", session_id(names[0] if names else session))


def session_id(name: str) -> str:
    """The id of a session of this name: the name, or name and signature where the environment asks for signed sessions.

    Raises:
        UsageError: If a name with a dot is to be signed, which Bokeh does not understand.
    """
    if SIGNING_VARIABLE not in os.environ:
        return name
    from bokeh.settings import settings

    key = settings.secret_key_bytes()
    if not settings.sign_sessions() or key is None:
        return name
    base, _, signature = name.partition(".")
    # as bokeh.util.token does it, which signs only names of its own making
    expected = base64.urlsafe_b64encode(hmac.digest(key, base.encode(), hashlib.sha256)).decode().rstrip("=")
    if signature and not hmac.compare_digest(signature.encode(), expected.encode()):
        raise UsageError(f"session {name!r} cannot be signed because of its dot; choose a name without one")
    return f"{base}.{expected}"


_EXAMPLE = "'http://localhost:5006/'"
