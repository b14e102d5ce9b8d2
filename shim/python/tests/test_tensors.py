"""Arrays are the shared memory itself, in every element type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from daemon import Daemon
from data import pattern
from models import IDENTITY, identity
from numpy.typing import NDArray

import gpumux

DTYPES: dict[str, np.dtype[Any]] = {
    "f32": np.dtype(np.float32),
    "i64": np.dtype(np.int64),
    "i32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
}


def address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])


def lies_in_a_channel(array: NDArray[Any]) -> bool:
    """Whether all of it lies in one mapping of memory that has no file."""
    first, last = address(array), address(array) + array.nbytes
    with open("/proc/self/maps") as maps:
        for line in maps:
            if "/memfd:" in line:
                start, end = (int(number, 16) for number in line.split()[0].split("-"))
                if start <= first and last <= end:
                    return True
    return False


def some(dtype: np.dtype[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    seed = np.random.default_rng(7)
    if dtype == np.bool_:
        return seed.integers(0, 2, shape).astype(np.bool_)
    if dtype == np.float32:
        return seed.standard_normal(shape, dtype=np.float32)
    return seed.integers(np.iinfo(dtype).min, np.iinfo(dtype).max, shape, dtype=dtype)


def check_round_trip(function: gpumux.Function, name: str, dtype: np.dtype[Any]) -> None:
    spec = function.inputs[0]
    assert spec.dtype == dtype and function.outputs[0].dtype == dtype
    for length in [1, 2, 17, 64]:
        wanted = some(dtype, spec.shape(length))
        request = function.request(length)
        place = request[spec.name]
        assert place.dtype == dtype and place.dtype.type is dtype.type
        assert place.shape == wanted.shape and place.flags.c_contiguous and place.flags.writeable
        assert lies_in_a_channel(place) and not lies_in_a_channel(wanted)
        place[...] = wanted
        result = request.submit().wait()
        output = result[name]
        assert output.dtype.type is dtype.type and output.shape == wanted.shape
        assert lies_in_a_channel(output) and not np.shares_memory(output, place)
        np.testing.assert_array_equal(output, wanted)
        with pytest.raises(ValueError, match="read-only"):
            output[...] = wanted
        copied = result.copy()[name]
        assert not lies_in_a_channel(copied)
        np.testing.assert_array_equal(copied, wanted)
        np.testing.assert_array_equal(function({spec.name: wanted})[name], wanted)


def test_every_element_type_goes_and_comes_back_in_place() -> None:
    functions = {name: IDENTITY for name in DTYPES}
    models = {name: identity(dtype, 3) for name, dtype in DTYPES.items()}
    with Daemon(functions, models) as daemon, gpumux.connect(daemon.socket) as client:
        for name, dtype in DTYPES.items():
            with client.open(name) as function:
                check_round_trip(function, "y", dtype)


def test_bytes_go_and_come_back_in_place(echo: gpumux.Function) -> None:
    check_round_trip(echo, "data", np.dtype(np.uint8))


def test_an_input_is_written_where_its_request_lies(echo: gpumux.Function) -> None:
    request = echo.request(5)
    place = request["data"]
    assert request["data"] is place
    request["data"] = [1, 2, 3, 4, 5]
    assert place.tolist() == [1, 2, 3, 4, 5]
    place[::2] = 9
    assert request.submit().wait()["data"].tolist() == [9, 2, 9, 4, 9]


def test_a_submitted_input_is_read_only_and_stays_its_requests(echo: gpumux.Function) -> None:
    request = echo.request(100)
    place = request["data"]
    place[:] = 42
    pending = request.submit()
    with pytest.raises(ValueError, match="read-only"):
        place[0] = 1
    with pytest.raises(gpumux.Closed, match="already"):
        request["data"]
    with pytest.raises(gpumux.Closed, match="already"):
        request.submit()
    pending.wait()
    del pending, request
    for number in range(500):
        echo(data=pattern(number))
    assert (place == 42).all(), "its memory was given to another request"


def test_a_view_of_an_output_outlives_all_else(daemon: Daemon) -> None:
    client = gpumux.connect(daemon.socket)
    echo = client.open("echo", slots=2, arena_bytes=1 << 16)
    view = echo.submit(data=pattern(77)).wait()["data"][3:]
    for number in range(100):
        np.testing.assert_array_equal(echo(data=pattern(number))["data"], pattern(number))
    echo.close()
    client.close()
    del echo, client
    np.testing.assert_array_equal(view, pattern(77)[3:])


def test_strided_inputs_are_taken_as_they_look(echo: gpumux.Function) -> None:
    wide = np.arange(200, dtype=np.uint8).reshape(20, 10)
    np.testing.assert_array_equal(echo(data=wide[:, 3])["data"], wide[:, 3])


def test_a_buffer_tells_what_it_is(echo: gpumux.Function) -> None:
    request = echo.request(12)
    view = request["data"].data
    assert (view.format, view.itemsize, view.shape, view.strides) == ("B", 1, (12,), (1,))
    request["data"][:] = 1
    result = request.submit().wait()
    assert list(result) == ["data"] and len(result) == 1 and result.batch >= 1
    assert result.queued >= 0 and result.ran >= 0
    assert result["data"].data.readonly
    with pytest.raises(KeyError):
        result["date"]
