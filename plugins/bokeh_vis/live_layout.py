"""A finished layout on a session of a Bokeh server, held there until it is closed."""

from __future__ import annotations

import atexit
import logging
import threading
import time
from typing import TYPE_CHECKING

from aimet_hooks.errors import AimetHooksError
from bokeh_vis import address, server_probe
from bokeh_vis import page as run_pages
from bokeh_vis.connection import PUSH, Connection
from bokeh_vis.server_probe import ConnectionFailed
from bokeh_vis.weight_ranges import pages

if TYPE_CHECKING:
    from bokeh.models import Column

logger = logging.getLogger("bokeh_vis")

SESSION = "quantization"
SECONDS = 7.5
"""How long a layout may take to reach a server that has answered a moment ago."""

PAUSE = 2.0
"""Seconds between two looks at the server."""

CLOSE_WAIT = 1.0
SHORT_TOKEN = 3600.0
"""Seconds; where new tabs can be opened for a shorter time, that is worth a warning."""

_held: dict[str, LiveLayout] = {}
"""The one that holds each page, by its address."""


@atexit.register
def close_all() -> None:
    """Let all pages go; done by itself at the end of the process."""
    for held in list(_held.values()):
        held.close()


class LiveLayout:
    """Shows one layout at a time, by a thread of its own that keeps no process alive.

    Args:
        url: "http://host:port/" of a Bokeh server.

    Raises:
        UsageError: If that is no address.
        AimetHooksError: If there is no Bokeh server; the message says what is there, and what to do.
    """

    def __init__(self, url: str) -> None:
        self._address = address.parse(url, SESSION)
        try:
            server_probe.probe(self._address)
        except ConnectionFailed as error:
            raise AimetHooksError(self._sentence(error)) from error
        self._closing, self._shown = threading.Event(), threading.Event()
        self._problem = ""
        self._is_lost = self._is_replaced = False
        self._connection: Connection | None = None
        self._thread: threading.Thread | None = None

    @property
    def page(self) -> str:
        """What a browser opens."""
        return self._address.page

    def show(self, root: Column) -> None:
        """Put a layout in the place of what the page showed; returns when the server has it.

        Args:
            root: The page, which belongs to no document.

        Raises:
            AimetHooksError: If the server does not have it in time, or its session belongs to somebody else.
        """
        before = _held.get(self.page)
        if before is not None:
            before.close()
        _held[self.page] = self
        self._thread = threading.Thread(target=self._work, args=(root,), name="bokeh_vis", daemon=True)
        self._thread.start()
        in_time = self._shown.wait(SECONDS)
        if not in_time or self._problem:
            why = self._problem or "it does not confirm the page in time; look at that server"
            self.close()
            raise AimetHooksError(self._sentence(why))
        self._check_token()

    def close(self) -> None:
        """Let the page go; it stays on the server as long as a tab shows it."""
        self._closing.set()
        if _held.get(self.page) is self:
            del _held[self.page]
        if self._connection is not None and (self._is_lost or not self._shown.is_set()):
            self._connection.interrupt()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT)

    def _work(self, root: Column) -> None:
        try:
            self._hold(root)
            while not self._is_replaced and not self._closing.wait(PAUSE):
                self._hold(root)
            if self._is_replaced:
                logger.info("the page at %s shows something newer", self.page)
        except ConnectionFailed as error:
            self._problem = f"{error}"
        except Exception as error:
            self._problem = f"{type(error).__name__}: {error}"
            logger.debug("the page cannot be shown", exc_info=True)
        finally:
            self._shown.set()

    def _hold(self, root: Column) -> None:
        """Put the page on the server and keep it there; returns when it was there and is not any more.

        Raises:
            ConnectionFailed: If the server never had it.
        """
        self._connection = connection = Connection(self._address)
        try:
            connection.open()
            self._put(connection, root)
            if self._is_lost:
                logger.info("the page at %s is back", self.page)
            self._is_lost = False
            self._shown.set()
            while not self._is_replaced and not self._closing.wait(PAUSE):
                connection.roundtrip()
                self._is_replaced = root.id not in {there.id for there in connection.document.roots}
        except Exception as error:
            if not self._shown.is_set():
                raise
            if not self._is_lost:
                logger.warning("the page at %s is lost: %s; it comes back when the server does", self.page, error)
            self._is_lost = True
        finally:
            connection.close()
            if root in connection.document.roots:
                connection.document.remove_root(root)  # for the next connection, which has a document of its own

    def _put(self, connection: Connection, root: Column) -> None:
        """Replace the page that the session holds, or the one in which ``aimet-hooks serve`` waits for a run.

        Tabs get a new page by loading it anew. A page that comes back replaces none that took its place meanwhile.
        """
        document = connection.document
        old = pages.found(document)
        if old and self._is_lost:
            self._is_replaced = root.id not in {page.id for page in old}
            return
        waiting = run_pages.find(document)
        if waiting is not None and waiting.control.claim.owner:
            waiting = None  # a run has it
        if len(old) + (waiting is not None) < len(document.roots):
            raise ConnectionFailed(
                f"session {self._address.session_id!r} already shows something else; "
                "choose another with ?bokeh-session-id=NAME in visualization_url"
            )
        if waiting is not None:
            waiting.control.reload_tabs()
        for page in old:
            pages.reload_tabs(page)
        if document.roots:
            connection.roundtrip()
        for replaced in list(document.roots):
            document.remove_root(replaced)
        document.add_root(root)
        document.title = pages.title_of(root)
        connection.roundtrip(PUSH)

    def _check_token(self) -> None:
        seconds = server_probe.token_seconds(self._address)
        if seconds is not None and seconds < SHORT_TOKEN:
            until = time.strftime("%H:%M", time.localtime(time.time() + seconds))
            logger.warning(
                "tabs of %s that are opened after %s will stay blank, because a tab was there before this page; "
                "start the server with --session-token-expiration=864000",
                self.page,
                until,
            )

    def _sentence(self, why: object) -> str:
        return f"there is no live page at {self._address.server}: {why}"
