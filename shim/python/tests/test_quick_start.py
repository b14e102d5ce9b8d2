"""The quick start runs as it stands in the README, and its types are right."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from daemon import Daemon
from models import EMBED, embed

README = Path(__file__).parent.parent / "README.md"


def blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL)


def test_the_quick_start_runs_as_it_stands(tmp_path: Path) -> None:
    scripts = blocks()
    assert len(scripts) == 3
    with Daemon({"embed": EMBED}, {"embed": embed()}) as daemon:
        for number, text in enumerate(scripts):
            script = str(tmp_path / f"block_{number}.py")
            Path(script).write_text(text)
            environment = {**os.environ, "GPUMUX_SOCKET": str(daemon.socket)}
            ran = subprocess.run(
                [sys.executable, script], env=environment, capture_output=True, text=True
            )
            assert ran.returncode == 0, ran.stderr
            assert "(8,)" in ran.stdout and not ran.stderr
            mypy = [sys.executable, "-m", "mypy", "--strict", "--cache-dir=/dev/null", script]
            checked = subprocess.run(mypy, capture_output=True, text=True)
            assert checked.returncode == 0, checked.stdout
