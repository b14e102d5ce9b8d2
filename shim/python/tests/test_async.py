"""Requests awaited under asyncio."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from daemon import NARROW, Daemon
from data import pattern

import gpumux


def test_a_thousand_at_once_take_turns_over_few_slots(client: gpumux.Client) -> None:
    async def one(echo: gpumux.Function, number: int) -> bool:
        result = await echo.run(data=pattern(number))
        return np.array_equal(result["data"], pattern(number))

    async def all_of_them() -> None:
        with client.open("echo", slots=32, arena_bytes="64KiB") as echo:
            assert all(await asyncio.gather(*(one(echo, number) for number in range(1000))))

    asyncio.run(all_of_them())


def test_a_thousand_are_in_flight(daemon: Daemon, client: gpumux.Client) -> None:
    async def ended(pending: gpumux.Pending) -> gpumux.Result:
        return await pending

    async def all_of_them() -> None:
        with client.open("echo", slots=1024, arena_bytes="2MiB") as echo:
            with daemon.stopped():
                pending = [echo.submit(data=pattern(number)) for number in range(1000)]
                tasks = [asyncio.create_task(ended(each)) for each in pending]
                await asyncio.sleep(0)
                assert not any(task.done() for task in tasks)
            for number, result in enumerate(await asyncio.gather(*tasks)):
                np.testing.assert_array_equal(result["data"], pattern(number))

    asyncio.run(all_of_them())


def test_one_after_the_other_and_in_one_loop_after_another(echo: gpumux.Function) -> None:
    async def some() -> None:
        for number in range(50):
            result = await echo.submit(data=pattern(number))
            np.testing.assert_array_equal(result["data"], pattern(number))

    for _ in range(3):
        asyncio.run(some())


def test_several_tasks_and_a_thread_wait_for_one_request(
    daemon: Daemon, echo: gpumux.Function
) -> None:
    async def ended(pending: gpumux.Pending) -> gpumux.Result:
        return await pending

    async def all_of_them() -> None:
        for _ in range(20):
            with daemon.stopped():
                pending = echo.submit(data=pattern(3))
                waits = [asyncio.create_task(ended(pending)) for _ in range(3)]
                waits += [asyncio.create_task(asyncio.to_thread(pending.wait)) for _ in range(3)]
                await asyncio.sleep(0)
            for result in await asyncio.gather(*waits):
                np.testing.assert_array_equal(result["data"], pattern(3))

    asyncio.run(all_of_them())


def test_a_cancelled_task_cancels_its_request() -> None:
    async def ended(pending: gpumux.Pending) -> gpumux.Result:
        return await pending

    async def all_of_them(daemon: Daemon, echo: gpumux.Function) -> None:
        with daemon.stopped():
            pending = [echo.submit(data=np.zeros(4096, np.uint8)) for _ in range(60)]
            tasks = [asyncio.create_task(ended(each)) for each in pending]
            await asyncio.sleep(0)
            for task in tasks[30:]:
                task.cancel()
            gone = await asyncio.gather(*tasks[30:], return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in gone)
        await asyncio.gather(*tasks[:30])
        status = daemon.await_status(
            lambda status: sum(status["functions"][0]["outcomes"].values()) == 60
        )
        assert status["functions"][0]["outcomes"]["cancelled"] > 0

    function = NARROW.replace("queue = 3", "queue = 300")
    with Daemon({"echo": function}) as daemon, gpumux.connect(daemon.socket) as client:
        with client.open("echo", slots=64, arena_bytes="1MiB") as echo:
            asyncio.run(all_of_them(daemon, echo))


def test_a_task_cancelled_in_line_leaves_its_turn_to_the_next(
    daemon: Daemon, client: gpumux.Client
) -> None:
    async def all_of_them() -> None:
        with client.open("echo", slots=2, arena_bytes="64KiB") as echo:
            with daemon.stopped():
                tasks = [asyncio.create_task(echo.run(data=pattern(n))) for n in range(8)]
                for _ in range(3):
                    await asyncio.sleep(0)
                # Two are in flight, one watches for a slot, the others stand in line behind it.
                for task in (tasks[0], tasks[2], tasks[4]):
                    task.cancel()
                await asyncio.wait([tasks[0], tasks[2], tasks[4]])
            ended = await asyncio.gather(*tasks, return_exceptions=True)
        for number, each in enumerate(ended):
            if number in (0, 2, 4):
                assert isinstance(each, asyncio.CancelledError)
            else:
                assert isinstance(each, gpumux.Result)
                np.testing.assert_array_equal(each["data"], pattern(number))

    asyncio.run(all_of_them())


def test_a_line_that_cannot_move_is_refused(client: gpumux.Client) -> None:
    async def all_of_them() -> None:
        with client.open("echo", slots=2, arena_bytes="64KiB") as echo:
            held = [echo.request(8), echo.request(8)]
            with pytest.raises(gpumux.Full, match="all 2 slots are in use"):
                await echo.run(data=pattern(1))
            held.pop()
            np.testing.assert_array_equal((await echo.run(data=pattern(1)))["data"], pattern(1))

    asyncio.run(all_of_them())


def test_other_outcomes_are_raised(client: gpumux.Client) -> None:
    async def all_of_them() -> None:
        with client.open("lookup") as lookup:
            with pytest.raises(gpumux.Refused, match="bad_value"):
                await lookup.run(x=[1 << 40])
            with pytest.raises(gpumux.InputError):
                await lookup.run(y=[1])

    asyncio.run(all_of_them())
