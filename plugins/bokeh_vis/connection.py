"""A connection to a session of a Bokeh server that never keeps anybody waiting for longer than it says.

Bokeh's own client waits for ever in several places. Here every call has a limit, and every failure is a
``ConnectionFailed`` whose message is a clause that says what is wrong and what to do.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, cast

import bokeh
from bokeh.client.connection import ClientConnection
from bokeh.client.session import ClientSession
from bokeh.client.states import WAITING_FOR_REPLY, ErrorReason
from bokeh.document import Document
from bokeh.settings import settings
from bokeh.util.token import generate_jwt_token
from tornado.ioloop import IOLoop

from bokeh_vis import server_probe
from bokeh_vis.server_probe import ConnectionFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from bokeh.protocol.message import Message
    from bokeh.protocol.messages.patch_doc import patch_doc

    from bokeh_vis.address import Address

logger = logging.getLogger("bokeh_vis")

CONNECT, PULL, PUSH, ROUNDTRIP = 3.0, 5.0, 10.0, 3.0
"""Seconds that the steps may take."""

GOODBYE = 0.02
NO_ANSWER = "it does not answer in time; look whether it is stopped or overloaded"
BROKEN = "it has closed the connection; look whether it still runs"

OLDEST_BOKEH = (3, 8)
TOKEN_SECONDS = 10 * 365 * 24 * 3600
MESSAGE_BYTES = 20 * 1024 * 1024
"""Largest message that a plain server takes."""


class Connection:
    """A session of a Bokeh server. All calls but ``interrupt`` must come from one thread.

    Args:
        address: Of the page.

    Attributes:
        document: In step with the server's as of ``open`` or the last ``roundtrip``.
    """

    def __init__(self, address: Address) -> None:
        self._address = address
        self._loop = IOLoop(make_current=False)
        # what goes wrong in the background shows in the next call; asyncio would print it
        self._loop.asyncio_loop.set_exception_handler(lambda *_: None)
        self._session = _Session(address, self._loop)
        self._give_up: Callable[[], None] | None = None
        self._is_interrupted = False
        self.document = Document()

    def open(self) -> None:
        """Connect and take in what the session holds; takes 15 s at most, and far less where there is no server.

        Raises:
            ConnectionFailed: If there is no Bokeh server, or it cannot be talked to.
        """
        server_probe.probe(self._address)
        with self._limit(CONNECT):
            self._session.connect()
        self._check_connected()
        with self._limit(CONNECT):
            version = self._session.request_server_info()["version_info"]["bokeh"]
        _check_version(version)
        with self._limit(PULL):
            self._session.pull()
        self.document = self._session.document

    def token_seconds(self) -> float | None:
        """Seconds for which new tabs can be opened; None where that is not known."""
        return None if self._is_interrupted else server_probe.token_seconds(self._address)

    def roundtrip(self, limit: float = ROUNDTRIP) -> None:
        """Send all changes of the document and take in those of others.

        Raises:
            ConnectionFailed: If the server did not confirm them within ``limit`` seconds. The connection is of no use
                any more.
        """
        if not self._session.connected:
            raise ConnectionFailed(BROKEN)
        with self._limit(limit):
            self._session.force_roundtrip()

    def interrupt(self) -> None:
        """Let the call fail that another thread is waiting in, and all later ones; any thread may call this."""
        self._is_interrupted = True
        give_up = self._give_up
        if give_up is not None:
            self._loop.add_callback(give_up)

    def close(self) -> None:
        """Give everything back; may be called again."""
        with contextlib.suppress(Exception):
            self._loop.add_callback(self._session.close)  # saying goodbye needs the loop to run
            self._run_shortly()
            for task in asyncio.all_tasks(self._loop.asyncio_loop):
                task.cancel()
            self._run_shortly()
        with contextlib.suppress(Exception):
            self._loop.close(all_fds=True)

    def _run_shortly(self) -> None:
        self._loop.call_later(GOODBYE, self._loop.stop)
        self._loop.start()

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Stop the loop once the time is over, and again: a step of Bokeh's may start it several times."""
        if self._is_interrupted:
            raise ConnectionFailed(NO_ANSWER)
        over = False
        handles: list[object] = []

        def stop() -> None:
            nonlocal over
            over = True
            self._loop.stop()
            handles.append(self._loop.call_later(0.05, stop))

        handles.append(self._loop.call_later(seconds, stop))
        self._give_up = stop
        try:
            yield
        except ConnectionFailed:
            raise
        except Exception as error:
            if over or self._session.connected:
                raise ConnectionFailed(NO_ANSWER if over else f"{type(error).__name__}: {error}") from error
            raise ConnectionFailed(BROKEN) from error
        finally:
            self._give_up = None
            self._loop.remove_timeout(handles[-1])
        if over:
            raise ConnectionFailed(NO_ANSWER)

    def _check_connected(self) -> None:
        session = self._session
        if session.connected:
            return
        if session.error_reason is ErrorReason.HTTP_ERROR and session.error_code not in (None, 500):
            raise server_probe.another_server(self._address, int(session.error_code or 0))
        raise ConnectionFailed(
            "it refuses the session; if it signs sessions, set BOKEH_SIGN_SESSIONS=yes and its BOKEH_SECRET_KEY in the "
            "environment before Python starts"
        )


class _Session(ClientSession):
    """A session whose token does not expire while the page lives, and that sees what others change."""

    def __init__(self, address: Address, loop: IOLoop) -> None:
        super().__init__(session_id=address.session_id, websocket_url=address.websocket, io_loop=loop)  # type: ignore[arg-type]
        self._connection = _Connection(
            session=self, websocket_url=address.websocket, io_loop=loop, max_message_size=MESSAGE_BYTES
        )

    def _handle_patch(self, message: patch_doc) -> None:
        """Take in a change; one that cannot be taken in, as of models that somebody else just added, ends the session.

        A server sends new models in full to one connection only; whoever connects anew gets all of them.
        """
        try:
            super()._handle_patch(message)
        except Exception:
            logger.debug("a change of the page cannot be taken in", exc_info=True)
            self._connection.close("a change cannot be taken in")

    @property
    def token(self) -> str:
        """What opens the session; a server hands the one that created it to all tabs."""
        return generate_jwt_token(
            self.id,
            secret_key=settings.secret_key_bytes(),
            signed=settings.sign_sessions(),
            expiration=TOKEN_SECONDS,
        )


class _Connection(ClientConnection):
    """Takes in the changes of others also while it waits for a reply, when Bokeh's would drop them."""

    async def _pop_message(self) -> Message[Any] | None:
        while True:
            message = await super()._pop_message()
            waiting = isinstance(self._state, WAITING_FOR_REPLY)
            if message is None or message.msgtype != "PATCH-DOC" or not waiting:
                return message
            if self._session.document is not None:
                self._session._handle_patch(cast("patch_doc", message))  # noqa: SLF001 -- there is no public way


def _check_version(version: str) -> None:
    parts = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if parts < OLDEST_BOKEH:
        raise ConnectionFailed(
            f"it runs Bokeh {version}, which cannot talk to the {bokeh.__version__} here; "
            "install bokeh 3.8 or newer where the server runs (pip install -U 'bokeh>=3.8')"
        )
