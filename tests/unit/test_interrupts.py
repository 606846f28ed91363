"""What Ctrl-C must not tear is done before it takes its course."""

from __future__ import annotations

import os
import signal
import threading
from typing import TYPE_CHECKING

import pytest

from aimet_hooks import interrupts

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def _same_handlers() -> Iterator[None]:
    before = [signal.getsignal(number) for number in interrupts.SIGNALS]
    yield
    assert [signal.getsignal(number) for number in interrupts.SIGNALS] == before


def test_an_interrupt_comes_at_the_end_of_the_block() -> None:
    steps = []

    def work() -> None:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            steps.append("done")
        steps.append("never")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["done"]


def test_blocks_within_one_another_wait_for_the_outermost() -> None:
    steps = []

    def work() -> None:
        with interrupts.deferred():
            with interrupts.deferred():
                os.kill(os.getpid(), signal.SIGINT)
            steps.append("done")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert steps == ["done"]


def test_an_exception_in_the_block_is_kept_as_the_context_of_the_interrupt() -> None:
    def work() -> None:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
            raise ValueError("first")

    with pytest.raises(KeyboardInterrupt) as caught:
        work()
    assert isinstance(caught.value.__context__, ValueError)


def test_the_users_own_handler_is_called_once() -> None:
    heard = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: heard.append((number, frame is not None)))
    try:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            assert heard == []
        assert heard == [(signal.SIGTERM, True)]
    finally:
        signal.signal(signal.SIGTERM, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.deferred():
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)


def test_another_thread_is_not_in_the_way() -> None:
    done = []

    def work() -> None:
        with interrupts.deferred():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done == [True]
