"""Inference by the GPU daemon of this node: numpy in, numpy out, through shared memory.

    import gpumux
    import numpy as np

    with gpumux.connect() as client, client.open("embed") as embed:
        result = embed(input_ids=np.array([101, 7592, 102]), ...)
        print(result["sentence_embedding"])
"""

from gpumux._client import Client, connect
from gpumux._function import Function
from gpumux._request import Pending, Request, Result
from gpumux._signature import Signature, TensorSpec
from gpumux.errors import (
    Cancelled,
    ChannelLost,
    Closed,
    ConnectError,
    DeadlineMissed,
    Forked,
    Full,
    GpumuxError,
    InputError,
    NoResult,
    OpenError,
    Refused,
    Restarted,
    WaitTimeout,
)

__all__ = [
    "Cancelled",
    "ChannelLost",
    "Client",
    "Closed",
    "ConnectError",
    "DeadlineMissed",
    "Forked",
    "Full",
    "Function",
    "GpumuxError",
    "InputError",
    "NoResult",
    "OpenError",
    "Pending",
    "Refused",
    "Request",
    "Restarted",
    "Result",
    "Signature",
    "TensorSpec",
    "WaitTimeout",
    "connect",
]
