"""What handles keep, and what they give back."""

from __future__ import annotations

import gc
import os
import pickle
import traceback
import warnings
from collections.abc import Callable

import numpy as np
import pytest
from daemon import Daemon
from data import pattern

import gpumux


def in_a_child(act: Callable[[], None]) -> None:
    """Runs something in a fork's child, and raises what it raised."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The child of a process with threads: that is what is tested.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            act()
            said = ""
        except BaseException:
            said = traceback.format_exc()
        os.write(writing, pickle.dumps(said))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        said = pickle.loads(pipe.read())
    os.waitpid(child, 0)
    assert not said, said


def test_a_forks_child_is_told_and_may_connect_anew(daemon: Daemon, echo: gpumux.Function) -> None:
    client = gpumux.connect(daemon.socket)
    with daemon.stopped():
        pending = echo.submit(data=pattern(6))
        request = echo.request(3)
        request["data"] = [1, 2, 3]

        def act() -> None:
            for refused in (
                lambda: echo.submit(data=pattern(1)),
                lambda: echo(data=pattern(1)),
                lambda: request.submit(),
                lambda: pending.wait(),
                lambda: pending.done(),
                lambda: client.open("echo"),
            ):
                with pytest.raises(gpumux.Forked, match="connect again after fork"):
                    refused()
            pending.cancel()

        in_a_child(act)

    def anew() -> None:
        with gpumux.connect(daemon.socket) as mine, mine.open("echo") as function:
            np.testing.assert_array_equal(function(data=pattern(2))["data"], pattern(2))

    in_a_child(anew)
    np.testing.assert_array_equal(pending.wait()["data"], pattern(6))
    assert request.submit().wait()["data"].tolist() == [1, 2, 3]


def all_slots(function: gpumux.Function, slots: int) -> int:
    """How many of them can be had at once."""
    held = []
    try:
        for _ in range(slots + 1):
            held.append(function.request(8))
    except gpumux.Full:
        pass
    return len(held)


def test_every_slot_comes_back_however_it_was_let_go() -> None:
    from daemon import WIDE

    with Daemon({"echo": WIDE}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo", slots=8, arena_bytes="64KiB") as echo:
            for number in range(200):
                echo(data=pattern(number))
                with echo.request(8) as request:
                    request["data"] = np.arange(8, dtype=np.uint8)
                view = echo.submit(data=pattern(number)).wait()["data"]
                del view
                # Cancelled by being dropped; its slot comes back when the worker is done with it.
                echo.submit(data=pattern(number))
                # Waits until one of them is.
                echo(data=pattern(number))
            ended = lambda status: sum(status["functions"][0]["outcomes"].values()) == 800  # noqa: E731
            daemon.await_status(ended)
            assert all_slots(echo, 8) == 8
            gc.collect()
            held = [echo.submit(data=pattern(number)).wait() for number in range(3)]
            assert all_slots(echo, 8) == 5
            del held
            assert all_slots(echo, 8) == 8


def test_a_call_waits_for_what_was_dropped_in_flight(daemon: Daemon, client: gpumux.Client) -> None:
    with client.open("echo", slots=2, arena_bytes="64KiB") as echo:
        for number in range(100):
            for _ in range(2):
                echo.submit(data=pattern(number))
            np.testing.assert_array_equal(echo(data=pattern(number))["data"], pattern(number))


def test_descriptors_and_memory_come_back(client: gpumux.Client) -> None:
    def look() -> tuple[int, int]:
        gc.collect()
        with open("/proc/self/maps") as maps:
            mapped = sum("/memfd:" in line for line in maps)
        return len(os.listdir("/proc/self/fd")), mapped

    before = look()
    for number in range(20):
        with client.open("echo") as echo:
            view = echo.submit(data=pattern(number)).wait()["data"]
        assert look() != before
        del view, echo
    assert look() == before


def test_what_is_closed_says_so(daemon: Daemon) -> None:
    client = gpumux.connect(daemon.socket)
    with client, client.open("echo") as first, client.open("echo") as second:
        first.close()
        with pytest.raises(gpumux.Closed, match="function `echo` is closed"):
            first(data=[1])
        pending = second.submit(data=[1, 2])
    with pytest.raises(gpumux.Closed, match="function `echo` is closed"):
        second.request(1)
    with pytest.raises(gpumux.Closed, match="the client is closed"):
        client.open("echo")
    assert pending.wait()["data"].tolist() == [1, 2]
    assert "closed" in repr(client) and "closed" in repr(second)
    released = None
    with gpumux.connect(daemon.socket) as other, other.open("echo") as echo:
        with echo.request(1) as released:
            pass
        with pytest.raises(gpumux.Closed, match="submitted or released"):
            released["data"]
