"""A connection to the daemon."""

from __future__ import annotations

import os
import re
import weakref
from types import TracebackType
from typing import Self

from gpumux import _gpumux
from gpumux._function import Function
from gpumux.errors import Closed

_DEFAULT_PATH = "/run/gpumux/gpumuxd.sock"
_UNITS = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def connect(path: str | os.PathLike[str] | None = None, *, reconnect_for: float = 30.0) -> Client:
    """Connects to the daemon.

    `path` is its socket: by default what the environment variable `GPUMUX_SOCKET` names, else
    `/run/gpumux/gpumuxd.sock`. When the daemon dies, its successor is looked for at the same path for
    `reconnect_for` seconds, and what was not answered is presented to it again.

    Raises `ConnectError`.
    """
    return Client(path, reconnect_for=reconnect_for)


class Client:
    """A connection to the daemon, which outlives the daemon's restarts. It may be used from any
    thread. As a context manager it closes at the end, and its functions with it."""

    def __init__(
        self, path: str | os.PathLike[str] | None = None, *, reconnect_for: float = 30.0
    ) -> None:
        chosen = path if path is not None else os.environ.get("GPUMUX_SOCKET") or _DEFAULT_PATH
        self.path = os.fspath(chosen)
        """The daemon's socket."""
        self._native: _gpumux.Session | None = _gpumux.Session(self.path, reconnect_for)
        self._functions: weakref.WeakSet[Function] = weakref.WeakSet()

    def open(self, name: str, *, slots: int = 64, arena_bytes: int | str = "8MiB") -> Function:
        """Opens a function.

        `slots` is how many requests and results may be there at once, a power of two. `arena_bytes`
        is the shared memory for all of their tensors, a number of bytes or a text such as `"8MiB"`.

        Raises `OpenError`, which says why.
        """
        if self._native is None:
            raise Closed("the client is closed: connect again")
        function = Function(name, self._native.open(name, slots, _bytes(arena_bytes)))
        self._functions.add(function)
        return function

    def close(self) -> None:
        """Closes the client and its functions. Requests in flight may still be waited for."""
        self._native = None
        for function in list(self._functions):
            function.close()

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
        closed = ", closed" if self._native is None else ""
        return f"<gpumux.Client {self.path}{closed}>"


def _bytes(size: int | str) -> int:
    if isinstance(size, int):
        return size
    match = re.fullmatch(r"(\d+) ?([KMG]iB|B|)", size.strip())
    if match is None:
        raise ValueError(f"{size!r} is no size: write bytes as a number, or as in '8MiB' or '1GiB'")
    return int(match[1]) * _UNITS[match[2]]
