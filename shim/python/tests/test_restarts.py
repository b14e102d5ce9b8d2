"""The daemon dies and another takes its place."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from daemon import WIDE, Daemon
from data import pattern

import gpumux


def test_what_was_not_answered_is_answered_by_the_next_daemon() -> None:
    with Daemon({"echo": WIDE}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo") as echo:
            read = echo.submit(data=pattern(1000)).wait()
            half_filled = echo.request(len(pattern(2000)))
            place = half_filled["data"]
            with daemon.stopped() as worker:
                pending = [echo.submit(data=pattern(number)) for number in range(20)]
                daemon.crash(worker)
                meanwhile = echo.submit(data=pattern(3000))
            daemon.restart({"echo": WIDE})
            for number, each in enumerate(pending):
                np.testing.assert_array_equal(each.wait()["data"], pattern(number))
            np.testing.assert_array_equal(meanwhile.wait()["data"], pattern(3000))
            place[:] = pattern(2000)
            np.testing.assert_array_equal(half_filled.submit().wait()["data"], pattern(2000))
            np.testing.assert_array_equal(read["data"], pattern(1000))


def test_tasks_wait_across_a_restart() -> None:
    async def all_of_them(daemon: Daemon, echo: gpumux.Function) -> None:
        with daemon.stopped() as worker:
            tasks = [asyncio.create_task(echo.run(data=pattern(n))) for n in range(200)]
            for _ in range(3):
                await asyncio.sleep(0)
            daemon.crash(worker)
        await asyncio.to_thread(daemon.restart, {"echo": WIDE})
        for number, result in enumerate(await asyncio.gather(*tasks)):
            np.testing.assert_array_equal(result["data"], pattern(number))

    with Daemon({"echo": WIDE}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo", slots=64) as echo:
            asyncio.run(all_of_them(daemon, echo))


def test_a_budget_runs_out_while_nobody_serves() -> None:
    async def ended(pending: gpumux.Pending) -> gpumux.Result:
        return await pending

    with Daemon({"echo": WIDE}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo") as echo:
            with daemon.stopped() as worker:
                waited = echo.submit(data=pattern(1), budget=0.05)
                awaited = echo.submit(data=pattern(2), budget=0.05)
                daemon.crash(worker)
            with pytest.raises(gpumux.DeadlineMissed):
                waited.wait()
            with pytest.raises(gpumux.DeadlineMissed):
                asyncio.run(ended(awaited))


def test_a_changed_function_is_told_of() -> None:
    with Daemon({"echo": WIDE}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo") as echo:
            with daemon.stopped() as worker:
                pending = echo.submit(data=pattern(1))
                daemon.crash(worker)
            daemon.restart({"echo": WIDE.replace("4096", "512")})
            with pytest.raises(gpumux.Refused, match="restarted") as refused:
                pending.wait()
            assert refused.value.reason == "restarted"
            with pytest.raises(gpumux.Restarted, match="signature has changed"):
                echo.submit(data=pattern(1))
        with client.open("echo") as echo:
            np.testing.assert_array_equal(echo(data=pattern(2))["data"], pattern(2))


def test_who_does_not_wait_for_a_successor_is_told_at_once() -> None:
    with Daemon({"echo": WIDE}) as daemon:
        with gpumux.connect(daemon.socket, reconnect_for=0) as client, client.open("echo") as echo:
            request = echo.request(8)
            request["data"] = pattern(0)
            with daemon.stopped() as worker:
                pending = echo.submit(data=pattern(1))
                daemon.crash(worker)
            with pytest.raises(gpumux.Refused, match="daemon_lost"):
                pending.wait()
            place = request["data"]
            with pytest.raises(gpumux.ChannelLost) as lost:
                request.submit()
            assert lost.value.reason == "daemon_lost"
            assert place.tolist() == pattern(0).tolist(), "its memory is still there"
