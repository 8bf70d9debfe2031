from __future__ import annotations

import os
import signal
import threading

import pytest

from charloom.interrupts import end_as_interrupt, hangup_as_request, signals_as_request


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
    with end_as_interrupt(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


def test_another_thread_leaves_signals_alone() -> None:
    seen: list[object] = []

    def work() -> None:
        with end_as_interrupt(), signals_as_request() as request:
            seen.extend([signal.getsignal(signal.SIGTERM), request()])

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


def test_a_terminal_that_closes_asks_to_stop_and_never_interrupts() -> None:
    with signals_as_request() as request, hangup_as_request() as hung_up:
        os.kill(os.getpid(), signal.SIGHUP)
        assert hung_up()
        assert not request()
    with signals_as_request() as request:
        for _ in range(3):  # the terminal's, the shell's
            os.kill(os.getpid(), signal.SIGHUP)
            assert request()
    with end_as_interrupt():
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)  # while it cleans up


def test_under_nohup_a_closed_terminal_means_nothing() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals_as_request() as request, end_as_interrupt(), hangup_as_request() as hung_up:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not request()
            assert not hung_up()
    finally:
        signal.signal(signal.SIGHUP, before)
