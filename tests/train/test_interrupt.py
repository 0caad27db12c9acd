"""Signals become a flag, and the handlers of before come back."""

import os
import signal
import threading

import pytest

from sslfast.train.interrupt import SIGNALS, Interrupt


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGUSR1, 143), (signal.SIGINT, 130)])
def test_a_signal_sets_the_flag(number, code):
    with Interrupt() as interrupt:
        assert interrupt.received is None
        send(number)
        assert interrupt.received is number
    assert interrupt.exit_code == code


def test_the_first_signal_counts():
    with Interrupt() as interrupt:
        send(signal.SIGUSR1)
        send(signal.SIGTERM)
    assert interrupt.received is signal.SIGUSR1


@pytest.mark.parametrize("first", SIGNALS)
def test_sigint_after_a_signal_aborts(first):
    with Interrupt() as interrupt:
        send(first)
        with pytest.raises(KeyboardInterrupt):
            send(signal.SIGINT)
    assert interrupt.received is first


def test_previous_handlers_come_back():
    before = [signal.getsignal(number) for number in SIGNALS]
    with Interrupt():
        assert all(signal.getsignal(number) not in before for number in SIGNALS)
    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_in_another_thread_it_does_nothing_and_says_so(caplog):
    before = signal.getsignal(signal.SIGTERM)
    seen = []

    def work() -> None:
        with Interrupt() as interrupt:
            seen.append((signal.getsignal(signal.SIGTERM), interrupt.received))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, None)]
    assert "main thread" in caplog.text
