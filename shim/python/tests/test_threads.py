"""Waiting threads let others run, and end when they are told to."""

from __future__ import annotations

import os
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from daemon import Daemon
from data import pattern

import gpumux


def await_inside(thread: int, function: str) -> None:
    """Returns when a thread's innermost Python function is this one, and has had time to go on."""
    while sys._current_frames()[thread].f_code.co_name != function:
        os.sched_yield()
    # Each gives Python's lock away: a thread that kept it as it waits would not give it back.
    for _ in range(1000):
        os.sched_yield()


def test_others_run_while_one_waits(daemon: Daemon, echo: gpumux.Function) -> None:
    results: list[gpumux.Result] = []
    with daemon.stopped():
        pending = echo.submit(data=pattern(9))
        waiting = threading.Thread(target=lambda: results.append(pending.wait()))
        waiting.start()
        assert waiting.ident is not None
        await_inside(waiting.ident, "wait")
        assert not results
    waiting.join()
    np.testing.assert_array_equal(results[0]["data"], pattern(9))


def test_ctrl_c_ends_a_wait_and_not_its_request(daemon: Daemon, echo: gpumux.Function) -> None:
    # A shell that starts the tests in the background has them ignore the signal.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    main = threading.get_ident()

    def press() -> None:
        await_inside(main, "wait")
        os.kill(os.getpid(), signal.SIGINT)

    with daemon.stopped():
        pending = echo.submit(data=pattern(4))
        pressing = threading.Thread(target=press)
        pressing.start()
        with pytest.raises(KeyboardInterrupt):
            pending.wait()
        pressing.join()
        assert not pending.done()
    np.testing.assert_array_equal(pending.wait()["data"], pattern(4))


def test_a_request_is_cancelled_while_another_thread_waits_for_it(daemon: Daemon) -> None:
    with gpumux.connect(daemon.socket, reconnect_for=3600) as client:
        with client.open("echo") as echo, daemon.stopped():
            pending = echo.submit(data=pattern(4))
            ended: list[BaseException | None] = []

            def wait() -> None:
                try:
                    pending.wait()
                    ended.append(None)
                except gpumux.Cancelled as error:
                    ended.append(error)

            waiting = threading.Thread(target=wait)
            waiting.start()
            assert waiting.ident is not None
            await_inside(waiting.ident, "wait")
            pending.cancel()
        waiting.join()
        assert len(ended) == 1, "it ended, as cancelled or before that"


def test_many_threads_take_turns_over_few_slots(client: gpumux.Client) -> None:
    with client.open("echo", slots=4, arena_bytes="64KiB") as echo:

        def one(number: int) -> bool:
            return np.array_equal(echo(data=pattern(number))["data"], pattern(number))

        with ThreadPoolExecutor(16) as pool:
            assert all(pool.map(one, range(500)))


def test_a_call_waits_for_a_slot_that_another_call_has(
    daemon: Daemon, client: gpumux.Client
) -> None:
    with client.open("echo", slots=1, arena_bytes="64KiB") as echo:
        with ThreadPoolExecutor(2) as pool:
            with daemon.stopped():
                both = [pool.submit(echo, data=pattern(number)) for number in range(2)]
                # One waits for its result, and the other for the slot.
                functions = {"wait", "__call__"}
                while functions:
                    frames = [frame.f_code.co_name for frame in sys._current_frames().values()]
                    functions -= set(frames)
                    os.sched_yield()
            for number, each in enumerate(both):
                np.testing.assert_array_equal(each.result()["data"], pattern(number))


def test_slots_that_the_caller_holds_are_not_waited_for(client: gpumux.Client) -> None:
    with client.open("echo", slots=2, arena_bytes="64KiB") as echo:
        held = [echo.submit(data=pattern(number)).wait() for number in range(2)]
        with pytest.raises(gpumux.Full, match="all 2 slots are in use: wait for a reply and drop it"):
            echo(data=pattern(3))
        with pytest.raises(gpumux.Full):
            echo.submit(data=pattern(3))
        np.testing.assert_array_equal(held[1]["data"], pattern(1))
        held.pop()
        np.testing.assert_array_equal(echo(data=pattern(3))["data"], pattern(3))
    with client.open("echo", slots=64, arena_bytes=1024) as echo:
        with pytest.raises(gpumux.Full, match="no room for"):
            echo(data=np.zeros(1024, np.uint8))
