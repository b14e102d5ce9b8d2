"""One request: filled, in flight, ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator, Mapping
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpumux import _gpumux
from gpumux._loop import waits
from gpumux._signature import Signature
from gpumux.errors import Closed, InputError, WaitTimeout


class Request:
    """A request that is being filled, in the memory that the device's worker reads.

    `request["name"]` is the input's array, to be written in place; what it holds before is left over
    from earlier requests of this process. `request["name"] = value` copies a value there. Every input
    is to be touched by one or the other. A request that is dropped gives its slot back.
    """

    def __init__(self, native: _gpumux.Request, signature: Signature, length: int) -> None:
        self._native: _gpumux.Request | None = native
        self._signature = signature
        self._views: dict[str, NDArray[Any]] = {}
        self.length = length
        """Its size along the model's variable dimension."""

    def __getitem__(self, name: str) -> NDArray[Any]:
        native = self._filling()
        view = self._views.get(name)
        if view is None:
            view = self._views[name] = np.asarray(native.input(self._find(name)))
        return view

    def __setitem__(self, name: str, value: ArrayLike) -> None:
        spec = self._signature.inputs[self._find(name)]
        array = spec._array(value)
        if array.shape != spec.shape(self.length):
            raise spec._wrong_shape(array.shape, self.length)
        np.copyto(self[name], array)

    def submit(self, *, budget: float | None = None) -> Pending:
        """Hands the request to the daemon.

        `budget` is how many seconds it may wait for its batch to begin; without one there is no limit.

        Its arrays become read-only: the worker reads them from now on. An array that was derived from
        one before can still write there, which may spoil this request's result and nothing else: the
        memory is given to no other request while any view of it lives.

        Raises `InputError` where an input was never written, and `ChannelLost`.
        """
        pending = self._filling().submit(budget)
        self._native = None
        for view in self._views.values():
            view.flags.writeable = False
        self._views.clear()
        return Pending(pending, self._signature)

    def release(self) -> None:
        """Lets go of the request. Its slot is free when the last array of it is gone."""
        self._native = None
        self._views.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def _filling(self) -> _gpumux.Request:
        if self._native is None:
            raise Closed("the request was submitted or released already: make another")
        return self._native

    def _find(self, name: str) -> int:
        for index, spec in enumerate(self._signature.inputs):
            if spec.name == name:
                return index
        names = ", ".join(f"`{spec.name}`" for spec in self._signature.inputs)
        raise InputError(f"there is no input `{name}`: the function takes {names}")


class Pending:
    """A request in flight: wait for it in a thread, or `await` it under asyncio. Any number of threads
    and tasks may. Dropping it, or cancelling the task that awaits it, cancels the request."""

    def __init__(self, native: _gpumux.Pending, signature: Signature) -> None:
        self._native = native
        self._signature = signature

    def wait(self, timeout: float | None = None) -> Result:
        """Waits for the result, at most `timeout` seconds. Other threads run meanwhile, and Ctrl-C
        ends it.

        Raises `Refused`, `DeadlineMissed` or `Cancelled` where it ended without a result, and
        `WaitTimeout` where it has not ended yet; it stays in flight then.
        """
        interruptible = threading.current_thread() is threading.main_thread()
        until = None if timeout is None else time.monotonic() + timeout
        left = None if timeout is None else max(timeout, 0.0)
        while not self._native.wait(left, interruptible):
            if until is not None:
                left = until - time.monotonic()
                if left <= 0:
                    raise WaitTimeout(f"the request has not ended within {timeout} s")
        return self._result()

    def done(self) -> bool:
        """Whether it has ended, one way or another."""
        return self._native.done()

    def cancel(self) -> None:
        """Asks the daemon to leave the request off. What is queued ends at once; what runs is
        discarded at its end. Either way `wait` says how it ended, which may be with a result."""
        self._native.cancel()

    def __await__(self) -> Generator[Any, None, Result]:
        return self._ended().__await__()

    async def _ended(self) -> Result:
        try:
            await waits().until(self._native.poll)
        except BaseException:
            self.cancel()
            raise
        return self._result()

    def _result(self) -> Result:
        return Result(self._native.reply(), self._signature)


class Result(Mapping[str, NDArray[Any]]):
    """A request's outputs by name: read-only arrays in the shared memory, where the worker wrote them.

    The request's slot is in use until the last of them, and of the arrays made from them without a
    copy, is gone. `copy` takes them out.
    """

    def __init__(self, native: _gpumux.Reply, signature: Signature) -> None:
        self.queued = native.queued()
        """Seconds from being read by the worker until its batch began."""
        self.ran = native.ran()
        """Seconds from there until its batch ended."""
        self.batch = native.batch()
        """Requests in its batch."""
        self._outputs: dict[str, NDArray[Any]] = {
            spec.name: np.asarray(native.output(index))
            for index, spec in enumerate(signature.outputs)
        }

    def copy(self) -> dict[str, NDArray[Any]]:
        """The outputs in memory of their own, which keep no slot."""
        return {name: output.copy() for name, output in self._outputs.items()}

    def _take_out(self) -> Self:
        self._outputs = self.copy()
        return self

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._outputs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        outputs = ", ".join(f"{name}: {a.dtype.name}{list(a.shape)}" for name, a in self.items())
        return f"<gpumux.Result {outputs}>"
