"""What signals do: the first of each kind is answered, a repeated one ends at once."""

from __future__ import annotations

import signal
import threading

import pytest

from dnnsweep.runner.signals import SIGNALS, Shutdown, handle_signals


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_answered_and_the_next_one_of_its_kind_interrupts(number: signal.Signals) -> None:
    answered: list[str] = []

    with handle_signals(lambda: answered.append("yes")):
        signal.raise_signal(number)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(number)

    assert answered == ["yes"]


def test_a_process_manager_may_send_both_kinds() -> None:
    answered: list[str] = []

    with handle_signals(lambda: answered.append("yes")):
        for number in SIGNALS:
            signal.raise_signal(number)

    assert answered == ["yes", "yes"]


def test_the_handlers_of_before_are_in_place_again_even_after_an_error() -> None:
    before = [signal.getsignal(number) for number in SIGNALS]

    with pytest.raises(ZeroDivisionError), handle_signals(lambda: None):
        raise ZeroDivisionError

    assert [signal.getsignal(number) for number in SIGNALS] == before


def test_an_inner_handler_counts_its_own_signals() -> None:
    answered: list[str] = []

    with handle_signals(lambda: answered.append("outer")):
        with handle_signals(lambda: answered.append("inner")):
            signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    assert answered == ["inner", "outer"]


def test_outside_the_main_thread_nothing_changes() -> None:
    before, seen = signal.getsignal(signal.SIGINT), list[object]()

    def look() -> None:
        with handle_signals(lambda: None):
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()

    assert seen == [before]


def test_a_worker_that_is_asked_to_end_twice_ends_at_once() -> None:
    shutdown = Shutdown(30.0)

    shutdown.request()

    assert shutdown.is_requested
    with pytest.raises(KeyboardInterrupt):
        shutdown.request()


def test_a_worker_in_the_middle_of_a_sweep_may_be_asked_twice() -> None:
    shutdown = Shutdown(30.0)

    shutdown.begin()
    shutdown.begin()

    assert shutdown.is_requested


def test_what_is_done_abruptly_is_interrupted_by_the_first_request() -> None:
    shutdown = Shutdown(30.0)

    with pytest.raises(KeyboardInterrupt), shutdown.abruptly():
        shutdown.request()

    assert shutdown.is_requested


def test_after_what_is_done_abruptly_the_first_request_is_waited_for() -> None:
    shutdown = Shutdown(30.0)
    with shutdown.abruptly():
        pass

    shutdown.request()

    assert shutdown.is_requested
