"""A tenant's program in Python; what it does is said in tenant.c.

    tenant.py SOCKET FUNCTION STRANGERS_SOCKET OTHER...
"""

from __future__ import annotations

import os
import select
import sys

import gpumux
import numpy as np
from numpy.typing import NDArray

IN_FLIGHT = 8


def data(name: str, number: int) -> NDArray[np.uint8]:
    """What a request holds is told by its number and the function's name."""
    index = np.arange(1 + number % 1000)
    letters = np.frombuffer(name.encode(), np.uint8).astype(np.int64)
    return ((number * 31 + index * 7 + letters[index % len(name)]) & 0xFF).astype(np.uint8)


def check(pending: gpumux.Pending, name: str, number: int) -> None:
    result = pending.wait()
    if not np.array_equal(result["data"], data(name, number)):
        raise SystemExit(f"request {number} came back changed")


def not_opened(client: gpumux.Client, other: str) -> None:
    try:
        client.open(other)
    except gpumux.OpenError as error:
        if error.reason != "unknown_function":
            raise
        print("not opened:", error)
    else:
        raise SystemExit(f"`{other}` was opened")


def turned_away(path: str) -> None:
    try:
        gpumux.connect(path)
    except gpumux.ConnectError as error:
        print("turned away:", error)
    else:
        raise SystemExit(f"{path} let it in")


def main() -> None:
    path, name, strangers, *others = sys.argv[1:]
    with gpumux.connect(path) as client, client.open(name) as function:
        check(function.submit(data=data(name, 0)), name, 0)
        for other in others:
            not_opened(client, other)
        turned_away(strangers)
        turned_away(path)
        print("serving", flush=True)
        served = 1
        while True:
            numbers = range(served, served + IN_FLIGHT)
            pending = [function.submit(data=data(name, number)) for number in numbers]
            for number in numbers:
                check(pending.pop(0), name, number)
            served += IN_FLIGHT
            if select.select([sys.stdin], [], [], 0)[0]:
                if not os.read(sys.stdin.fileno(), 16):
                    break
                print(served, flush=True)
    print("done", served)


main()
