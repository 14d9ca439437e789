"""Signals that are counted and can be polled for."""

import os
import select
import signal
import threading

from origin.signal_inbox import SignalInbox

NUMBERS = (signal.SIGUSR1, signal.SIGUSR2)


def is_readable(inbox: SignalInbox) -> bool:
    return bool(select.select([inbox.descriptor], [], [], 0)[0])


def test_signals_wake_are_counted_and_taken_once() -> None:
    with SignalInbox(NUMBERS) as inbox:
        assert not is_readable(inbox)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGUSR2):
            signal.raise_signal(number)
        assert is_readable(inbox)
        assert inbox.take() == {signal.SIGUSR1: 1, signal.SIGUSR2: 2}
        assert not is_readable(inbox)
        assert not inbox.take()


def test_a_storm_larger_than_the_pipe_is_counted_whole() -> None:
    with SignalInbox(NUMBERS) as inbox:
        for _ in range(70_000):
            signal.raise_signal(signal.SIGUSR1)
        assert inbox.take()[signal.SIGUSR1] == 70_000
        assert not is_readable(inbox)


def test_a_blocked_signal_comes_later() -> None:
    with SignalInbox(NUMBERS) as inbox:
        before = inbox.block()
        # To this thread: another one, such as a library's, may not block it.
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
        assert not inbox.take()
        inbox.unblock(before)
        assert inbox.take() == {signal.SIGUSR1: 1}


def test_afterwards_all_is_as_before() -> None:
    handlers, before = [signal.getsignal(number) for number in NUMBERS], os.listdir("/proc/self/fd")
    with SignalInbox(NUMBERS):
        pass
    assert [signal.getsignal(number) for number in NUMBERS] == handlers
    assert os.listdir("/proc/self/fd") == before


def test_a_child_has_nothing_of_it() -> None:
    interrupt = signal.getsignal(signal.SIGINT)
    hangup = signal.getsignal(signal.SIGHUP)
    handlers = {number: signal.getsignal(number) for number in NUMBERS}
    inbox = SignalInbox((signal.SIGTERM,))
    terminate = signal.getsignal(signal.SIGTERM)
    try:
        inbox.__enter__()
        inbox.leave_to_child()
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert signal.set_wakeup_fd(-1) == -1
    finally:
        for number, handler in {
            signal.SIGTERM: terminate,
            signal.SIGINT: interrupt,
            signal.SIGHUP: hangup,
            **handlers,
        }.items():
            signal.signal(number, handler)
