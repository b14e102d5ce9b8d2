"""What is wrong with an input is said before anything is sent."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest
from daemon import Daemon

import gpumux
from gpumux import InputError

BYTES = np.zeros(4, dtype=np.uint8)


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ({}, "every input is given exactly once, and `data` is missing"),
        ({"data": BYTES, "date": BYTES}, "no input `date`: the function takes `data`"),
        ({"data": np.zeros(4)}, "input `data` is of uint8, not float64: convert it, as with .astype(np.uint8)"),
        ({"data": np.zeros(4, np.int8)}, "input `data` is of uint8, not int8"),
        ({"data": [0.5]}, "input `data` is of uint8, not float64"),
        ({"data": [1, 256]}, "input `data` is of uint8, and a value is outside of that"),
        ({"data": ["a"]}, "input `data` is of uint8, not str"),
        ({"data": BYTES.reshape(2, 2)}, "input data: uint8[length] does not take the shape (2, 2)"),
        ({"data": BYTES[0]}, "input data: uint8[length] does not take the shape ()"),
        ({"data": BYTES[:0]}, "length 0 is not possible"),
        ({"data": np.zeros(4097, np.uint8)}, "length 4097 is above the function's limit of 4096"),
    ],
)
def test_inputs_that_are_not_the_functions_are_refused(
    echo: gpumux.Function, inputs: dict[str, Any], said: str
) -> None:
    for call in (echo, echo.submit):
        with pytest.raises(InputError, match=re.escape(said)):
            call(inputs)
    assert issubclass(InputError, ValueError) and issubclass(InputError, gpumux.GpumuxError)


def test_lists_of_numbers_are_taken(echo: gpumux.Function) -> None:
    assert echo(data=[1, 2, 255])["data"].tolist() == [1, 2, 255]
    assert echo({"data": (1, 2)})["data"].tolist() == [1, 2]


def test_an_input_that_was_not_written_is_missed_and_may_be_written_then(
    echo: gpumux.Function,
) -> None:
    request = echo.request(2)
    with pytest.raises(InputError, match="input `data` was not written"):
        request.submit()
    with pytest.raises(InputError, match="no input `date`: the function takes `data`"):
        request["date"]
    with pytest.raises(InputError, match=re.escape("(3,) at length 2, which is (2,)")):
        request["data"] = [1, 2, 3]
    request["data"] = [1, 2]
    assert request.submit().wait()["data"].tolist() == [1, 2]


def test_lengths_that_differ_are_told_apart() -> None:
    from models import EMBED, embed

    with Daemon({"embed": EMBED}, {"embed": embed()}) as daemon:
        with gpumux.connect(daemon.socket) as client, client.open("embed") as function:
            ids = np.arange(5)
            said = "`attention_mask` means length 4, and `input_ids` means 5"
            with pytest.raises(InputError, match=said):
                function(input_ids=ids, attention_mask=ids[:4], token_type_ids=ids)
            said = "every input is given exactly once, and `attention_mask`, `token_type_ids` is missing"
            with pytest.raises(InputError, match=said):
                function(input_ids=ids)
            assert str(function.inputs[0]) == "input_ids: int64[length]"
            assert function.signature.length_max == 128


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_that_is_no_time_is_refused(echo: gpumux.Function, budget: float) -> None:
    with pytest.raises(ValueError, match="budget"):
        echo(data=BYTES, budget=budget)


def test_what_cannot_be_opened_says_why(client: gpumux.Client) -> None:
    with pytest.raises(gpumux.OpenError, match="no function `ecko`; the nearest is `echo`") as caught:
        client.open("ecko")
    assert caught.value.reason == "unknown_function"
    with pytest.raises(gpumux.OpenError, match="power of two") as caught:
        client.open("echo", slots=3)
    assert caught.value.reason == "size"
    with pytest.raises(ValueError, match="'8MB' is no size"):
        client.open("echo", arena_bytes="8MB")


def test_no_daemon_is_a_connect_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUMUX_SOCKET", "/nowhere/gpumuxd.sock")
    with pytest.raises(gpumux.ConnectError, match="no daemon listens at /nowhere/gpumuxd.sock"):
        gpumux.connect()


def test_the_environment_names_the_socket(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GPUMUX_SOCKET", str(daemon.socket))
    with gpumux.connect() as client, client.open("echo") as echo:
        assert echo(data=[7])["data"].tolist() == [7]
