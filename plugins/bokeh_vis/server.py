"""A Bokeh server with the settings that a shared page needs, and with the pages of all runs below a directory."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, cast
from urllib.parse import parse_qs

import jinja2
from bokeh.application import Application
from bokeh.application.handlers import FunctionHandler
from bokeh.server.server import Server
from bokeh.settings import settings
from tornado.ioloop import IOLoop, PeriodicCallback

from aimet_hooks.errors import AimetHooksError
from bokeh_vis import comparison, header, run_page
from bokeh_vis import page as pages
from bokeh_vis.address import DEFAULT_SESSION, SESSION_ARGUMENT, Address, session_id
from bokeh_vis.connection import TOKEN_SECONDS
from bokeh_vis.run_directory import RunDirectory
from bokeh_vis.run_list import RunList

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from bokeh.document import Document
    from bokeh.server.contexts import BokehSessionContext

PRIVATE_SESSION_MS = 60_000
"""How long the page of a viewer lives after its tab was closed; the shared page lives as long as the server."""

MESSAGE_BYTES = 200 * 1024 * 1024
STEP_MS = 200
LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 -- compared with, not listened at

REDIRECT = f"""<!DOCTYPE html>
<html><head><title>aimet-hooks</title>
<script>location.replace("?&{SESSION_ARGUMENT}={DEFAULT_SESSION}")</script></head><body></body></html>
"""
"""The template of a tab that names no session: it goes to the shared one."""


class PageServer:
    """A server that listens, and serves once it is told to.

    Args:
        root: Directory whose runs are shown; None for the live page alone.
        host: Name or address to listen at.
        port: 0 takes a free one.
        origins: Further "host:port" from which browsers may connect.

    Attributes:
        host: Where it is reached from this machine.
        port: Where it listens.
        is_private: Whether only this machine reaches it.

    Raises:
        AimetHooksError: If it cannot listen there.
    """

    def __init__(self, root: Path | None, *, host: str, port: int, origins: Sequence[str] = ()) -> None:
        settings.simple_ids = False  # models that a run brings must not have the ids of the server's
        self.port = port or _free_port(host)
        self._loop = IOLoop()
        self._directory = None if root is None else RunDirectory(root)
        self.host = LOOPBACK[0] if host in (*LOOPBACK, *EVERYWHERE) else host
        self.is_private = host in LOOPBACK
        names = {_in_address(host), *LOOPBACK[:2]}
        if not self.is_private:
            names |= {socket.gethostname(), socket.getfqdn()}
        try:
            self._server = Server(
                self._applications(),
                io_loop=self._loop,
                address=host,
                port=self.port,
                allow_websocket_origin=[*(f"{name}:{self.port}" for name in sorted(names)), *origins],
                session_token_expiration=TOKEN_SECONDS,
                unused_session_lifetime_milliseconds=PRIVATE_SESSION_MS,
                websocket_max_message_size=MESSAGE_BYTES,
                sign_sessions=settings.sign_sessions(),
                secret_key=settings.secret_key_bytes(),
            )
        except OSError as error:
            raise AimetHooksError(
                f"cannot listen at {host}:{self.port} ({error.strerror or error}); choose another --port or --host"
            ) from error

    @property
    def address(self) -> Address:
        """Of the live page."""
        return Address(f"http://{_in_address(self.host)}:{self.port}/", session_id(DEFAULT_SESSION))

    def serve(self) -> None:
        """Serve until an exception, as that of an interrupt, ends it."""
        self._server.start()
        if self._directory is not None:
            self._loop.add_callback(PeriodicCallback(self._directory.step, STEP_MS).start)  # in the loop, whose it is
        try:
            self._loop.start()
        finally:
            self._server.stop()
            self._loop.close(all_fds=True)

    def _applications(self) -> dict[str, Application]:
        pages_of: dict[str, Callable[[Document], None]] = {"/": _shared_page}
        directory = self._directory
        if directory is not None:
            pages_of["/runs"] = lambda document: _show_list(document, directory)
            pages_of["/run"] = lambda document: run_page.add_to(document, directory, _argument(document, "run"))
            pages_of["/compare"] = lambda document: comparison.add_to(
                document, directory, (_argument(document, "a"), _argument(document, "b"))
            )
        return {path: Application(FunctionHandler(function)) for path, function in pages_of.items()}


def _show_list(document: Document, directory: RunDirectory) -> None:
    document.add_root(run_page.links())
    RunList(document, directory)


def _shared_page(document: Document) -> None:
    """The page that runs draw on; it is there before the first of them, so that every open tab follows."""
    context = _context(document)
    request = context.request
    by_program = request is None or request.path.endswith("/ws")
    if request is not None and not by_program and SESSION_ARGUMENT not in parse_qs(request.query):
        if settings.sign_sessions():  # the address is for those who have the key
            document.add_root(run_page.message("Sessions are signed here", "Open the address that the server printed."))
        else:
            document.template = jinja2.Template(REDIRECT)
        return

    page = pages.build(server=header.SERVER if request is None else f"{request.protocol}://{request.host}/")

    def keep() -> None:
        """Let it live as long as the server: the page that everybody knows, and those that somebody draws on."""
        if context.session is not None and (context.id == session_id(DEFAULT_SESSION) or page.control.claim.owner):
            context.session.block_expiration()

    document.title = "aimet-hooks"
    document.add_root(page.root)
    document.add_next_tick_callback(keep)
    page.control.on_change(keep)


def _in_address(host: str) -> str:
    """A host as it is written before a port."""
    return f"[{host}]" if ":" in host else host


def _context(document: Document) -> BokehSessionContext:
    """The session that a document is made for."""
    return cast("BokehSessionContext", document.session_context)


def _argument(document: Document, name: str) -> str:
    request = _context(document).request
    values = request.arguments.get(name, []) if request is not None else []
    return os.fsdecode(values[0]) if values else ""


def _free_port(host: str) -> int:
    try:
        with socket.create_server((host, 0)) as probe:
            return int(probe.getsockname()[1])
    except OSError as error:
        raise AimetHooksError(f"cannot listen at {host} ({error.strerror or error}); choose another --host") from error
