"""An open function: requests to it."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import ArrayLike

from gpumux import _gpumux
from gpumux._loop import waits
from gpumux._request import Pending, Request, Result
from gpumux._signature import Signature, TensorSpec, _signature
from gpumux.errors import Closed, Full

# How long a call that waits for room may sleep before it looks for signals.
_ROOM_STEP = 0.1


class Function:
    """An open function. It may be used from any thread, and closes as a context manager does.

    Two ways to use it:

    - Call it, or `await run(...)`: inputs are copied in, outputs come back as arrays of your own, and
      a call waits while every slot is busy.
    - `submit`, or `request` for writing in place: nothing is copied out, nothing waits, and each
      request and result has a slot for as long as you hold it.

    Inputs are given by name, as keywords or as one mapping.
    """

    def __init__(self, name: str, native: _gpumux.Function) -> None:
        self.name = name
        """Its name."""
        self.signature: Signature = _signature(native)
        """What it takes and gives."""
        self._native: _gpumux.Function | None = native
        # Tasks of one loop that wait for a slot stand in line, so that one of them wakes for each.
        self._lines: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Lock] = (
            weakref.WeakKeyDictionary()
        )

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        """Its inputs, for one item."""
        return self.signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        """Its outputs, for one item."""
        return self.signature.outputs

    def request(self, length: int = 1) -> Request:
        """Takes a slot for a request of `length`, its size along the model's variable dimension.

        Raises `InputError` where that is no length of this function, `Full`, and `ChannelLost`.
        """
        return Request(self._open().request(length, False), self.signature, length)

    def submit(
        self,
        inputs: Mapping[str, ArrayLike] | None = None,
        /,
        *,
        budget: float | None = None,
        **named: ArrayLike,
    ) -> Pending:
        """Copies inputs into a slot and hands the request to the daemon. The length is the inputs'.

        `budget` is how many seconds it may wait for its batch to begin; without one there is no limit.

        Raises `InputError`, `Full` where every slot is in use, and `ChannelLost`.
        """
        arrays, length = self.signature._arrays(_joined(inputs, named))
        request = self.request(length)
        for spec, array in zip(self.inputs, arrays, strict=True):
            np.copyto(request[spec.name], array)
        return request.submit(budget=budget)

    def __call__(
        self,
        inputs: Mapping[str, ArrayLike] | None = None,
        /,
        *,
        budget: float | None = None,
        **named: ArrayLike,
    ) -> Result:
        """Runs one request and waits for its result, whose arrays are your own. Where every slot is
        busy with such calls, it waits for one.

        Raises as `submit` and `Pending.wait` do; `Full` only where requests and results that you hold
        take every slot.
        """
        arrays, length = self.signature._arrays(_joined(inputs, named))
        native = self._open()
        while True:
            epoch, will_free = native.room()
            try:
                request = Request(native.request(length, True), self.signature, length)
                break
            except Full:
                if not will_free and native.room() == (epoch, False):
                    raise
            native.await_room(epoch, _ROOM_STEP)
        for spec, array in zip(self.inputs, arrays, strict=True):
            np.copyto(request[spec.name], array)
        return request.submit(budget=budget).wait()._take_out()

    async def run(
        self,
        inputs: Mapping[str, ArrayLike] | None = None,
        /,
        *,
        budget: float | None = None,
        **named: ArrayLike,
    ) -> Result:
        """As a call of the function, for a task of asyncio."""
        arrays, length = self.signature._arrays(_joined(inputs, named))
        request = await self._request_in_turn(length)
        for spec, array in zip(self.inputs, arrays, strict=True):
            np.copyto(request[spec.name], array)
        return (await request.submit(budget=budget))._take_out()

    async def _request_in_turn(self, length: int) -> Request:
        native = self._open()
        loop = asyncio.get_running_loop()
        line = self._lines.get(loop)
        if line is None:
            line = self._lines[loop] = asyncio.Lock()
        async with line:
            while True:
                epoch, will_free = native.room()
                try:
                    return Request(native.request(length, True), self.signature, length)
                except Full:
                    if not will_free and native.room() == (epoch, False):
                        raise
                await waits().until(_Moved(native, epoch))

    def close(self) -> None:
        """Closes the function. Requests in flight may still be waited for, and arrays stay valid."""
        self._native = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        inputs = ", ".join(map(str, self.inputs))
        outputs = ", ".join(map(str, self.outputs))
        closed = ", closed" if self._native is None else ""
        return f"<gpumux.Function {self.name}({inputs}) -> {outputs}{closed}>"

    def _open(self) -> _gpumux.Function:
        if self._native is None:
            raise Closed(f"function `{self.name}` is closed: open it again")
        return self._native


class _Moved:
    """Whether the epoch of a function's room is another by now."""

    def __init__(self, native: _gpumux.Function, epoch: int) -> None:
        self._native = native
        self._epoch = epoch

    def __call__(self, bell: _gpumux.Bell, token: int) -> bool:
        return not self._native.watch_room(self._epoch, bell, token)


def _joined(
    inputs: Mapping[str, ArrayLike] | None, named: Mapping[str, ArrayLike]
) -> Mapping[str, ArrayLike]:
    if inputs is None:
        return named
    return {**inputs, **named} if named else inputs
