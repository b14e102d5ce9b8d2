"""How else requests end, and what each is called."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from daemon import NARROW, Daemon
from data import pattern
from models import ROWS

import gpumux

LARGE = np.full(4096, 7, dtype=np.uint8)


def ends(pending: list[gpumux.Pending]) -> list[str]:
    """How each ended, in one word."""
    words = []
    for each in pending:
        try:
            assert (each.wait()["data"] == 7).all()
            words.append("done")
        except gpumux.Refused as error:
            words.append(error.reason)
        except gpumux.NoResult as error:
            words.append(type(error).__name__)
    return words


def test_a_full_queue_refuses_with_its_reason(daemon: Daemon, client: gpumux.Client) -> None:
    with client.open("narrow", slots=128, arena_bytes="2MiB") as narrow:
        with daemon.stopped():
            pending = [narrow.submit(data=LARGE) for _ in range(100)]
        words = ends(pending)
        assert set(words) == {"done", "queue_full"}
        with pytest.raises(gpumux.Refused, match="queue_full: try again after") as caught:
            pending[words.index("queue_full")].wait()
        assert caught.value.retry_after is None or caught.value.retry_after > 0
        assert isinstance(caught.value, gpumux.NoResult)


def test_cancelled_requests_end_as_such_and_their_neighbours_do_not() -> None:
    function = NARROW.replace("queue = 3", "queue = 300")
    with Daemon({"echo": function}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo", slots=128, arena_bytes="2MiB") as echo:
            with daemon.stopped():
                pending = [echo.submit(data=LARGE) for _ in range(100)]
                for each in pending[1::2]:
                    each.cancel()
            words = ends(pending)
    assert set(words[::2]) == {"done"}
    assert "Cancelled" in words[1::2] and set(words[1::2]) <= {"done", "Cancelled"}


def test_a_budget_that_runs_out_in_the_queue_is_a_missed_deadline() -> None:
    function = NARROW.replace("queue = 3", "queue = 300")
    with Daemon({"echo": function}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo", slots=128, arena_bytes="2MiB") as echo:
            with daemon.stopped():
                ahead = [echo.submit(data=LARGE, budget=3600.0) for _ in range(50)]
                late = [echo.submit(data=LARGE, budget=1e-6) for _ in range(50)]
            assert set(ends(ahead)) == {"done"}
            assert "DeadlineMissed" in ends(late)


def test_a_bad_value_names_its_input(client: gpumux.Client) -> None:
    with client.open("lookup") as lookup:
        assert lookup(x=[3, ROWS - 1])["y"][:, 0].tolist() == [3.0, ROWS - 1]
        with pytest.raises(gpumux.Refused, match="bad_value") as caught:
            lookup(x=[0, ROWS])
        assert (caught.value.reason, caught.value.input) == ("bad_value", "x")


def test_a_wait_that_ends_early_leaves_the_request_in_flight(
    daemon: Daemon, echo: gpumux.Function
) -> None:
    with daemon.stopped():
        pending = echo.submit(data=pattern(5))
        with pytest.raises(gpumux.WaitTimeout, match="within 0.01 s"):
            pending.wait(timeout=0.01)
        with pytest.raises(TimeoutError):
            pending.wait(0)
        assert not pending.done()
    np.testing.assert_array_equal(pending.wait(timeout=3600)["data"], pattern(5))
    assert pending.done()
    np.testing.assert_array_equal(pending.wait()["data"], pattern(5))


def test_errors_survive_pickling() -> None:
    refused = gpumux.Refused("no", "queue_full", 0.5, None, 3)
    again = pickle.loads(pickle.dumps(refused))
    assert type(again) is gpumux.Refused and str(again) == "no"
    assert (again.reason, again.retry_after, again.input, again.limit) == ("queue_full", 0.5, None, 3)
    for error in (gpumux.OpenError("no", "size"), gpumux.Restarted("no", "restarted")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), str(again), again.reason) == (type(error), "no", error.reason)
