from __future__ import annotations

import os
import signal
import threading

import pytest

from charloom.interrupts import signals_as_interrupt, signals_as_request


def test_a_signal_asks_once_and_interrupts_twice() -> None:
    asked: list[bool] = []
    before = signal.getsignal(signal.SIGTERM)
    with signals_as_request(lambda: asked.append(True)) as request:
        assert not request()
        os.kill(os.getpid(), signal.SIGTERM)
        assert request()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
    assert asked == [True]
    assert signal.getsignal(signal.SIGTERM) is before


def test_signals_do_what_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with signals_as_interrupt(signal.SIGTERM), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_signals_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with signals_as_interrupt(signal.SIGTERM), signals_as_request() as request:
            seen.extend([signal.getsignal(signal.SIGTERM), request()])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]
