"""A view never costs the run anything: servers that are away, die, freeze, or are something else.

In each case the run ends with the same result, at most 6 s later than without a view, with one warning at most.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import http.server
import logging
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest
from bokeh.client.session import ClientSession
from bokeh.models import Div
from tornado.ioloop import IOLoop

from bokeh_vis import address, view_thread
from bokeh_vis.connection import NO_ANSWER, Connection
from bokeh_vis.server_probe import ConnectionFailed
from tests.integration.servers import HOST, PlainServer, free_port, wait_until
from tests.integration.small_runs import RunningRun, compress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from bokeh.model import Model

LATER = 6.0
"""Seconds by which a run may end later than without a view."""

OLD_BOKEH = "3.7.3"
CELLS = 12


@pytest.fixture(autouse=True)
def warnings(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What was said at level WARNING and above, by anybody."""
    caplog.set_level(logging.INFO, logger="bokeh_vis")
    return lambda: [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.fixture(scope="module")
def seconds_without_view() -> float:
    """How long the run takes by itself, once everything is imported."""
    compress(None)
    begin = time.monotonic()
    compress(None)
    return time.monotonic() - begin


@pytest.fixture
def timed(seconds_without_view: float) -> Callable[[str], None]:
    """Runs against a url and holds that the run is right and in time."""

    def run(url: str) -> None:
        begin = time.monotonic()
        result = compress(url)
        assert time.monotonic() - begin < seconds_without_view + LATER
        assert int(result.eval_scores.notna().sum().sum()) == CELLS

    return run


def on_thread(function: Callable[[], object]) -> object:
    """Call something that runs an event loop of its own."""
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def text_on(url: str, session_id: str = "compression") -> str:
    """The header and the number of scores that a server has; looking at it leaves no token that expires."""

    def read() -> str:
        connection = Connection(dataclasses.replace(address.parse(url), session_id=session_id))
        try:
            connection.open()
            for root in connection.document.roots:
                header, cells = (root.select_one({"name": name}) for name in ("header", "cells"))
                if isinstance(header, Div):
                    return f"{header.text} scores={_scores(cells)}"
            return ""
        finally:
            connection.close()

    return str(on_thread(read))


@contextlib.contextmanager
def session_of_others(url: str) -> Iterator[ClientSession]:
    """A session as tabs and other programs make it, with a token of 300 s."""
    loop = IOLoop()
    session = ClientSession(
        session_id="compression",
        websocket_url=address.parse(url).websocket,
        io_loop=loop,  # type: ignore[arg-type]
    )
    try:
        session.pull()
        yield session
    finally:
        session.close()
        loop.close(all_fds=True)


def _scores(cells: Model | None) -> int:
    columns = cells.data.items()  # type: ignore[union-attr]
    return sum("|0" in cell for name, column in columns if name.startswith("cell_") for cell in column)


def test_server_is_absent(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    port = free_port()
    timed(f"http://{HOST}:{port}/")
    (said,) = warnings()
    assert f"nothing listens at {HOST}:{port}" in said
    assert f"aimet-hooks serve --port {port}" in said


def test_host_is_unknown(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    timed("http://no-such-host.invalid:5006/")
    (said,) = warnings()
    assert "'no-such-host.invalid' is not known" in said


@pytest.mark.parametrize(
    ("url", "part"),
    [
        ("localhost:5006", "write it as 'http://localhost:5006/'"),
        ("ftp://localhost/", "write it as 'http://localhost:5006/'"),
        ("http://localhost:port/", "write it as 'http://localhost:5006/'"),
        ("http://", "write it as 'http://localhost:5006/'"),
        ("http://local host:5006/", "write it as 'http://localhost:5006/'"),
        ("http://a..b:5006/", "write it as 'http://localhost:5006/'"),
    ],
)
def test_url_is_wrong(url: str, part: str, timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    timed(url)
    (said,) = warnings()
    assert repr(url) in said
    assert part in said


def test_server_is_killed_in_the_middle(
    plain_server: PlainServer, warnings: Callable[[], list[str]], seconds_without_view: float
) -> None:
    run = RunningRun(plain_server.url)
    run.gate.let(7)
    wait_until(lambda: "scores=5" in text_on(plain_server.url), "five scores on the page")
    plain_server.kill()
    begin = time.monotonic()
    run.finish()
    assert time.monotonic() - begin < seconds_without_view + LATER
    (said,) = warnings()
    assert "the live page was lost" in said
    assert "the run goes on" in said


def test_server_is_killed_and_restarted(plain_server: PlainServer, warnings: Callable[[], list[str]]) -> None:
    run = RunningRun(plain_server.url)
    run.gate.let(7)
    wait_until(lambda: "scores=5" in text_on(plain_server.url), "five scores on the page")
    plain_server.kill()
    wait_until(warnings, "the warning")
    plain_server.start()
    wait_until(lambda: "scores=5" in text_on(plain_server.url), "five scores on the new server", 35)
    run.finish()
    assert ">done<" in text_on(plain_server.url)
    assert len(warnings()) == 1


def test_what_is_said_of_tokens_does_not_hide_what_comes_later(
    plain_server: PlainServer, warnings: Callable[[], list[str]]
) -> None:
    with session_of_others(plain_server.url):
        run = RunningRun(plain_server.url)
        run.gate.let(7)
        wait_until(warnings, "the warning of tokens")
    plain_server.kill()
    run.finish()
    tokens, lost = warnings()
    assert "will stay blank" in tokens
    assert "no live page" in lost or "was lost" in lost


def test_server_is_frozen(
    plain_server: PlainServer, warnings: Callable[[], list[str]], seconds_without_view: float
) -> None:
    run = RunningRun(plain_server.url)
    run.gate.let(7)
    wait_until(lambda: "scores=5" in text_on(plain_server.url), "five scores on the page")
    plain_server.signal(signal.SIGSTOP)
    begin = time.monotonic()
    run.finish()
    assert time.monotonic() - begin < seconds_without_view + LATER
    (said,) = warnings()
    assert "does not answer" in said


def test_server_is_frozen_from_the_start(
    plain_server: PlainServer, timed: Callable[[str], None], warnings: Callable[[], list[str]]
) -> None:
    plain_server.signal(signal.SIGSTOP)
    timed(plain_server.url)
    (said,) = warnings()
    assert "does not answer" in said


def test_a_call_to_a_frozen_server_can_be_interrupted_from_another_thread(plain_server: PlainServer) -> None:
    connection = Connection(address.parse(plain_server.url))
    connection.open()
    plain_server.signal(signal.SIGSTOP)
    failures: list[str] = []

    def wait() -> None:
        try:
            connection.roundtrip(60)
        except ConnectionFailed as error:
            failures.append(str(error))

    waiting = threading.Thread(target=wait)
    waiting.start()
    wait_until(lambda: connection.interrupt() or not waiting.is_alive(), "the end of the call", 5)
    assert failures == [NO_ANSWER]
    connection.close()


def test_a_server_that_drips_is_given_up(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        while not over.is_set():
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                with connection:
                    while not over.wait(0.3):
                        connection.sendall(b"H")

    with socket.create_server((HOST, 0)) as server:
        server.settimeout(0.2)
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        try:
            timed(f"http://{HOST}:{server.getsockname()[1]}/")
        finally:
            over.set()
            thread.join()
    (said,) = warnings()
    assert "does not answer" in said


def test_a_port_that_resets_every_connection(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    def reset(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = server.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()

    server = socket.create_server((HOST, 0))
    thread = threading.Thread(target=reset, args=(server,))
    thread.start()
    timed(f"http://{HOST}:{server.getsockname()[1]}/")
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    (said,) = warnings()
    assert "closes every connection; check the port" in said


class NoPage(http.server.BaseHTTPRequestHandler):
    status = 404

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", "0")
        self.send_header("Location", "/elsewhere")
        self.end_headers()

    do_HEAD = do_GET

    def log_message(self, *_: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture
def web_server() -> Iterator[http.server.HTTPServer]:
    with http.server.ThreadingHTTPServer((HOST, 0), NoPage) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("status", [200, 302, 404])
def test_another_web_server_is_there(
    status: int,
    web_server: http.server.HTTPServer,
    monkeypatch: pytest.MonkeyPatch,
    timed: Callable[[str], None],
    warnings: Callable[[], list[str]],
) -> None:
    monkeypatch.setattr(NoPage, "status", status)
    timed(f"http://{HOST}:{web_server.server_port}/")
    (said,) = warnings()
    assert "another web server answers" in said
    assert f"HTTP status {status}" in said


@pytest.fixture
def socket_server() -> Iterator[tuple[int, dict[str, bytes]]]:
    """A port that says one thing, or nothing, and the place for what it says."""
    words = {"first": b""}
    server = socket.create_server((HOST, 0))
    held: list[socket.socket] = []

    def accept() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            if words["first"]:
                connection.sendall(words["first"])
            held.append(connection)

    thread = threading.Thread(target=accept)
    thread.start()
    yield server.getsockname()[1], words
    server.shutdown(socket.SHUT_RDWR)
    server.close()
    thread.join()
    for connection in held:
        connection.close()


def test_port_is_silent(
    socket_server: tuple[int, dict[str, bytes]], timed: Callable[[str], None], warnings: Callable[[], list[str]]
) -> None:
    timed(f"http://{HOST}:{socket_server[0]}/")
    (said,) = warnings()
    assert "does not answer" in said


def test_port_is_that_of_ssh(
    socket_server: tuple[int, dict[str, bytes]], timed: Callable[[str], None], warnings: Callable[[], list[str]]
) -> None:
    socket_server[1]["first"] = b"SSH-2.0-OpenSSH_9.2\r\n"
    timed(f"http://{HOST}:{socket_server[0]}/")
    (said,) = warnings()
    assert "is no web server" in said
    assert "SSH-2.0" in said


def test_https_to_a_server_that_speaks_http(
    plain_server: PlainServer, timed: Callable[[str], None], warnings: Callable[[], list[str]]
) -> None:
    timed(plain_server.url.replace("http:", "https:"))
    (said,) = warnings()
    assert "does not speak https" in said
    assert f"write {plain_server.url};" in said


def test_prefix_belongs_in_the_url(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    with PlainServer("--prefix=/lab") as server:
        timed(server.url)
        (said,) = warnings()
        assert "--prefix" in said
        timed(f"{server.url}lab")
        assert len(warnings()) == 1
        assert ">done<" in text_on(f"{server.url}lab")


@pytest.fixture(scope="session")
def old_bokeh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a Bokeh that cannot talk to the one of today."""
    folder = tmp_path_factory.mktemp("bokeh")
    line = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(folder)]
    subprocess.run([*line, f"bokeh=={OLD_BOKEH}"], check=True, capture_output=True)
    return folder


def test_server_is_of_an_older_bokeh(
    old_bokeh: Path, timed: Callable[[str], None], warnings: Callable[[], list[str]]
) -> None:
    with PlainServer(environment={"PYTHONPATH": str(old_bokeh)}) as server:
        timed(server.url)
    (said,) = warnings()
    assert f"runs Bokeh {OLD_BOKEH}" in said
    assert "bokeh>=3.8" in said


SIGNED = {"BOKEH_SIGN_SESSIONS": "yes", "BOKEH_SECRET_KEY": "of this test"}


def test_server_signs_sessions(timed: Callable[[str], None], warnings: Callable[[], list[str]]) -> None:
    with PlainServer(environment=SIGNED) as server:
        timed(server.url)
    (said,) = warnings()
    assert "BOKEH_SECRET_KEY" in said


def test_named_session_is_honoured(plain_server: PlainServer, warnings: Callable[[], list[str]]) -> None:
    compress(f"{plain_server.url}?bokeh-session-id=mine%20too")
    assert ">done<" in text_on(plain_server.url, "mine too")
    assert text_on(plain_server.url) == ""
    assert warnings() == []


def test_a_session_that_a_tab_made_expires_which_is_said(
    plain_server: PlainServer, warnings: Callable[[], list[str]]
) -> None:
    with session_of_others(plain_server.url):
        compress(plain_server.url)
    (said,) = warnings()
    assert "will stay blank" in said
    assert "--session-token-expiration" in said


def test_something_else_in_the_session_is_left_alone(
    plain_server: PlainServer, warnings: Callable[[], list[str]]
) -> None:
    with session_of_others(plain_server.url) as session:
        session.document.add_root(Div(text="somebody's", name="theirs"))
        session.force_roundtrip()
        compress(plain_server.url)
    (said,) = warnings()
    assert "already shows something else" in said


def test_a_newer_run_takes_the_page_over(plain_server: PlainServer, warnings: Callable[[], list[str]]) -> None:
    older = RunningRun(plain_server.url, run_name="older")
    older.gate.let(6)
    wait_until(lambda: "scores=4" in text_on(plain_server.url), "four scores on the page")
    newer = RunningRun(plain_server.url, run_name="newer", names=("a", "b"))
    newer.gate.let(4)
    wait_until(warnings, "the warning of the older run")
    (said,) = warnings()
    assert "taken over by 'newer'" in said
    wait_until(lambda: "scores=2" in text_on(plain_server.url), "two scores of the newer run")
    older.finish()
    shown = text_on(plain_server.url)
    assert "newer" in shown
    assert "taken over from run &#x27;older&#x27;, which was exploring" in shown
    newer.finish()
    assert ">done<" in text_on(plain_server.url)
    assert "scores=8" in text_on(plain_server.url)
    assert len(warnings()) == 1


OTHER_PROCESS = """
import sys
sys.path.insert(0, ".")
from tests.integration.small_runs import compress
compress(sys.argv[1], names=("x", "y"), run_name="of another process")
input()
"""


def test_a_run_of_another_process_takes_the_page_over(
    plain_server: PlainServer, warnings: Callable[[], list[str]]
) -> None:
    run = RunningRun(plain_server.url, run_name="here")
    run.gate.let(6)
    wait_until(lambda: "scores=4" in text_on(plain_server.url), "four scores on the page")
    line = [sys.executable, "-c", OTHER_PROCESS, plain_server.url]
    with subprocess.Popen(line, stdin=subprocess.PIPE) as other:
        wait_until(lambda: "scores=8" in text_on(plain_server.url), "the whole table of the other run")
        wait_until(warnings, "the warning")
        run.finish()
        wait_until(lambda: "of another process" in text_on(plain_server.url), "the name of the other run")
        other.communicate(b"\n")
    (said,) = warnings()
    assert "taken over by 'of another process'" in said


def test_a_run_that_ended_before_there_was_a_server_does_not_take_the_page_from_a_newer_one(
    warnings: Callable[[], list[str]],
) -> None:
    server = PlainServer()
    compress(server.url, run_name="ended before")
    (said,) = warnings()
    assert "nothing listens" in said
    newer = RunningRun(server.url, run_name="newer")
    newer.gate.let(6)
    with server:
        wait_until(lambda: "scores=4" in text_on(server.url), "four scores of the newer run")
        newer.finish()
        wait_until(lambda: ">done<" in text_on(server.url), "the end of the newer run")
        shown = text_on(server.url)
        assert "newer" in shown
        assert "scores=12" in shown
    assert not [text for text in warnings() if "taken over by 'ended before'" in text]


def test_threads_of_runs_that_have_lost_their_page_end(plain_server: PlainServer) -> None:
    def threads() -> int:
        return sum(thread.name == view_thread.THREAD_NAME for thread in threading.enumerate())

    for number in range(4):
        compress(plain_server.url, run_name=f"run {number}")
    wait_until(lambda: threads() == 1, "the end of all threads but the last")


def test_two_runs_that_begin_at_once_end_with_one_page(plain_server: PlainServer) -> None:
    runs = [RunningRun(plain_server.url, run_name=f"run {number}") for number in range(2)]
    for run in runs:
        run.finish()
    wait_until(lambda: ">done<" in text_on(plain_server.url), "a finished page")

    def count() -> int:
        with session_of_others(plain_server.url) as session:
            return len(session.document.roots)

    wait_until(lambda: count() == 1, "one page")


def test_a_tab_that_stops_reading_does_not_slow_the_run(plain_server: PlainServer, seconds_without_view: float) -> None:
    import base64

    from bokeh.util.token import generate_jwt_token

    token = generate_jwt_token("compression")  # type: ignore[arg-type]
    compress(plain_server.url)  # the session is there
    with socket.create_connection((HOST, plain_server.port)) as tab:
        tab.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        key = base64.b64encode(os.urandom(16)).decode()
        lines = ["GET /ws HTTP/1.1", f"Host: {HOST}:{plain_server.port}", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Protocol: bokeh, {token}"]
        tab.sendall(("\r\n".join([*lines, f"Origin: http://{HOST}:{plain_server.port}", "", ""])).encode())
        assert b"101" in tab.recv(100)
        for _ in range(3):
            begin = time.monotonic()
            compress(plain_server.url, names=tuple(f"layer with a long name {'x' * 3000} {n}" for n in range(12)))
            assert time.monotonic() - begin < 4 * seconds_without_view + LATER


def test_inside_a_running_asyncio_loop(plain_server: PlainServer, warnings: Callable[[], list[str]]) -> None:
    async def work() -> None:
        compress(plain_server.url)
        await asyncio.sleep(0)

    asyncio.run(work())
    assert ">done<" in text_on(plain_server.url)
    assert warnings() == []


FORKS = """
import os, sys
sys.path.insert(0, ".")
from tests.integration.small_runs import Gate, FREELY, compress

class Forking(Gate):
    def __call__(self, model):
        score = super().__call__(model)
        if self.evaluations in (1, 5, 15):
            child = os.fork()
            if child == 0:
                sys.exit(0)  # runs what a process runs at its end
            assert os.waitpid(child, 0)[1] == 0
        return score

evaluate = Forking()
evaluate.let(FREELY)
compress(sys.argv[1], evaluate)
print("done", flush=True)
input()
"""


def test_in_a_process_that_forks(plain_server: PlainServer) -> None:
    line = [sys.executable, "-W", "ignore", "-c", FORKS, plain_server.url]
    with subprocess.Popen(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        assert process.stdout.readline() == b"done\n"
        assert ">done<" in text_on(plain_server.url)
        assert f"scores={CELLS}" in text_on(plain_server.url)
        _, errors = process.communicate(b"\n")
        assert errors == b""


FORKS_WHILE_BOKEH_IS_IMPORTED = """
import os, sys
sys.path.insert(0, ".")
from tests.integration.small_runs import Gate, compress

class Forking(Gate):
    def __call__(self, model):
        child = os.fork()
        if child == 0:
            import bokeh.models, tornado.web, json  # hangs for ever where a lock of the import was forked
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        return super().__call__(model)

evaluate = Forking()
evaluate.let(10**9)
compress(sys.argv[1], evaluate)
print("done", flush=True)
"""


def test_a_child_that_is_forked_while_bokeh_is_imported_can_import_it_too(plain_server: PlainServer) -> None:
    line = [sys.executable, "-W", "ignore", "-c", FORKS_WHILE_BOKEH_IS_IMPORTED, plain_server.url]
    for _ in range(3):
        done = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_the_end_of_a_process_is_quiet_and_quick(plain_server: PlainServer) -> None:
    program = (
        'import sys; sys.path.insert(0, "."); from tests.integration.small_runs import compress; compress(sys.argv[1])'
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, plain_server.url], check=False, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
