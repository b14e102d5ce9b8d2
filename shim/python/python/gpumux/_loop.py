"""Waiting in an asyncio event loop.

Requests end on threads of the shim, which ring the loop's bell; the loop watches the bell's
descriptor and wakes the tasks that wait for what it was rung for.
"""

from __future__ import annotations

import asyncio
import itertools
import weakref
from collections.abc import Callable

from gpumux import _gpumux


class Waits:
    """What the tasks of one event loop wait for."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._bell = _gpumux.Bell()
        self._tokens = itertools.count()
        self._waiting: dict[int, asyncio.Future[None]] = {}
        loop.add_reader(self._bell.fileno(), self._heard)

    async def until(self, ask: Callable[[_gpumux.Bell, int], bool]) -> None:
        """Waits until `ask` says yes. It is asked again each time it rang, as it promised to when it
        says no."""
        loop = asyncio.get_running_loop()
        while True:
            token = next(self._tokens)
            rung = self._waiting[token] = loop.create_future()
            try:
                if ask(self._bell, token):
                    return
                await rung
            finally:
                del self._waiting[token]

    def _heard(self) -> None:
        for token in self._bell.take():
            rung = self._waiting.get(token)
            # A task that was cancelled does not wait any more, and something may ring twice.
            if rung is not None and not rung.done():
                rung.set_result(None)


_loops: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Waits] = weakref.WeakKeyDictionary()


def waits() -> Waits:
    """Those of the running loop."""
    loop = asyncio.get_running_loop()
    found = _loops.get(loop)
    if found is None:
        found = _loops[loop] = Waits(loop)
    return found
