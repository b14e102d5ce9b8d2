"""What can go wrong. Each message says what was wrong and what to do about it."""

from __future__ import annotations


class GpumuxError(Exception):
    """Anything that gpumux raises."""


class ConnectError(GpumuxError):
    """No session was made: nobody listens there, or the daemon refused."""


class OpenError(GpumuxError):
    """A function was not opened.

    `reason` is one word: `unknown_function`, `unavailable`, `over_limit`, `draining`, `bad_memory`,
    `size`, `session_over`, `violation`, `restarted` or `os`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[OpenError], tuple[str, str]]:
        return type(self), (str(self), self.reason)


class InputError(GpumuxError, ValueError):
    """The inputs are not what the function takes. Nothing was submitted."""


class Full(GpumuxError):
    """Every slot is in use, or the arena has no room. Nothing was submitted."""


class ChannelLost(GpumuxError):
    """Nobody serves the function's channel any more: open it again. Nothing was submitted.

    `reason` is one word, such as `daemon_lost`, `worker_lost`, `violation` or `restarted`.
    """

    def __init__(self, message: str, reason: str) -> None:
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type[ChannelLost], tuple[str, str]]:
        return type(self), (str(self), self.reason)


class Restarted(ChannelLost):
    """The daemon was restarted or reloaded, and does not take the channel again."""


class Forked(GpumuxError):
    """The handle belongs to the parent process: connect again after `fork`."""


class Closed(GpumuxError):
    """The handle was closed by this process, or its request was submitted or released."""


class WaitTimeout(GpumuxError, TimeoutError):
    """The request has not ended yet. It is still in flight: wait again, or cancel it."""


class NoResult(GpumuxError):
    """The request ended without a result."""


class Refused(NoResult):
    """The daemon refused the request.

    `reason` is one word, such as `queue_full` or `bad_value`; `retry_after` is in seconds, where
    trying again may help; `input` names the input that it speaks of, and `limit` is the limit that it
    speaks of, where there is one.
    """

    def __init__(
        self,
        message: str,
        reason: str,
        retry_after: float | None = None,
        input: str | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_after = retry_after
        self.input = input
        self.limit = limit

    def __reduce__(
        self,
    ) -> tuple[type[Refused], tuple[str, str, float | None, str | None, int | None]]:
        return type(self), (str(self), self.reason, self.retry_after, self.input, self.limit)


class DeadlineMissed(NoResult):
    """The request's budget ran out before its batch began."""


class Cancelled(NoResult):
    """The request was cancelled."""
