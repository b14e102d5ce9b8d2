"""What the tests share: a daemon for those that leave it as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from daemon import NARROW, WIDE, Daemon
from models import LOOKUP, lookup

import gpumux


@pytest.fixture(scope="session")
def daemon() -> Iterator[Daemon]:
    functions = {"echo": WIDE, "narrow": NARROW, "lookup": LOOKUP}
    with Daemon(functions, {"lookup": lookup()}) as daemon:
        yield daemon


@pytest.fixture
def client(daemon: Daemon) -> Iterator[gpumux.Client]:
    with gpumux.connect(daemon.socket) as client:
        yield client


@pytest.fixture
def echo(client: gpumux.Client) -> Iterator[gpumux.Function]:
    with client.open("echo", slots=64, arena_bytes="1MiB") as function:
        yield function
