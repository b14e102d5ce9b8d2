"""A gpumuxd of a test's own, in a folder of its own, with an emulated device."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Self

# A function of one request at a time, so that others wait, and one that takes many at once.
NARROW = 'model = "builtin:echo"\nlength = { max = 4096 }\nmax_batch = 1\nqueue = 3\n'
WIDE = 'model = "builtin:echo"\nlength = { max = 4096 }\nmax_batch = 16\nqueue = 2048\n'


def binary(name: str) -> str:
    """A binary of the project."""
    folder = os.environ.get("GPUMUX_BIN_DIR")
    if not folder:
        raise RuntimeError("GPUMUX_BIN_DIR names no folder of binaries: run `cargo xtask python`")
    return os.path.join(folder, name)


class Daemon:
    """A running daemon. As a context manager it is killed at the end."""

    def __init__(self, functions: Mapping[str, str], models: Mapping[str, bytes] | None = None) -> None:
        # The path of a socket is short, and pytest's folders are not.
        self.folder = Path(tempfile.mkdtemp(prefix="gpumux-"))
        self.socket = self.folder / "gpumuxd.sock"
        self._start(functions, models or {})

    def restart(self, functions: Mapping[str, str]) -> None:
        """Starts another in the place of one that was killed."""
        shutil.rmtree(self.folder / "models")
        self._start(functions, {})

    def crash(self, worker: int) -> None:
        """Kills the daemon, and then its worker."""
        self.process.kill()
        self.process.wait()
        with suppress(ProcessLookupError):  # It may have seen the supervisor's end first.
            os.kill(worker, signal.SIGKILL)

    def status(self) -> Any:
        """What `gpumux status --json` says."""
        admin = os.fspath(self.folder / "admin.sock")
        command = [binary("gpumux"), "status", "--json", "--admin-socket", admin]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

    def await_status(self, described: Callable[[Any], bool]) -> Any:
        """Asks for the status until it is as described."""
        while True:
            status = self.status()
            if described(status):
                return status

    def worker(self) -> int:
        """The worker's process."""
        status = self.await_status(lambda status: status["devices"][0]["state"] == "ready")
        return int(status["devices"][0]["worker_pid"])

    @contextmanager
    def stopped(self) -> Iterator[int]:
        """The worker is stopped meanwhile: what is submitted reaches it all at once, afterwards."""
        worker = self.worker()
        os.kill(worker, signal.SIGSTOP)
        while any(state != "T" for state in _threads(worker)):
            os.sched_yield()
        try:
            yield worker
        finally:
            with suppress(ProcessLookupError):  # The test may have killed it.
                os.kill(worker, signal.SIGCONT)

    def close(self) -> None:
        """Kills it, and removes its folder."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, functions: Mapping[str, str], models: Mapping[str, bytes]) -> None:
        for name, text in functions.items():
            folder = self.folder / "models" / name
            folder.mkdir(parents=True)
            (folder / "function.toml").write_text(text)
            if name in models:
                (folder / "model.onnx").write_bytes(models[name])
        notify = self.folder / "notify"
        notify.unlink(missing_ok=True)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
            told.bind(os.fspath(notify))
            places = {
                "--socket": self.socket,
                "--admin-socket": self.folder / "admin.sock",
                "--models": self.folder / "models",
                "--state": self.folder / "state",
            }
            command = [binary("gpumuxd"), "--device", "emulated:strict=on"]
            for option, place in places.items():
                command += [option, os.fspath(place)]
            environment = {**os.environ, "NOTIFY_SOCKET": os.fspath(notify)}
            self.process = subprocess.Popen(command, env=environment, process_group=0)
            self._await_ready(told)

    def _await_ready(self, told: socket.socket) -> None:
        told.settimeout(0.2)
        while True:
            try:
                if told.recv(256).startswith(b"READY=1"):
                    return
            except TimeoutError:
                pass
            code = self.process.poll()
            if code is not None:
                raise RuntimeError(f"gpumuxd ended before it was ready: {code}")


def _threads(process: int) -> Iterator[str]:
    """The state of each thread of a process, as the kernel's letters."""
    for thread in Path(f"/proc/{process}/task").iterdir():
        # The name before it is in parentheses and may hold anything.
        yield (thread / "stat").read_text().rpartition(") ")[2][0]
