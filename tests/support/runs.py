"""Runs to watch and to stop; and disks that are full or may not be written."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import ROOT, Run, heard

PAREDOWN = ROOT / ".venv" / "bin" / "paredown"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "canary",
    "AWS_SECRET_ACCESS_KEY": "canary",
    "AWS_SESSION_TOKEN": "canary",
    "GITHUB_TOKEN": "canary",
    "DATABASE_URL": "canary",
    # Terraform's, which begin as TensorFlow's variables do.
    "TF_TOKEN_app_terraform_io": "canary",
    "TF_VAR_db_password": "canary",
}


class Watched:
    """The command, running: its events are read while it works."""

    def __init__(
        self, *arguments: str | Path, env: dict[str, str] | None = None, cwd: Path = ROOT
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "job", *map(str, arguments)],
            cwd=cwd,
            env=os.environ | (env or {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.pid = self.process.pid
        self.lines: list[str] = []
        self._timer = threading.Timer(240, self.process.kill)
        self._timer.start()

    def until(self, event: str, stage: str | None = None) -> dict[str, Any]:
        """Read on until an event has been seen, of a stage where one is given."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            seen: dict[str, Any] = json.loads(line)
            if seen["event"] == event and stage in (None, seen.get("stage")):
                return seen
        raise AssertionError(f"{event} {stage} was never seen in {self.lines}: {self.finish().err}")

    def child(self) -> int:
        """The worker process's id, as soon as there is one."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            for pid in children(self.pid):
                return pid
            time.sleep(0.01)
        raise AssertionError("there is no worker process")

    def finish(self) -> Run:
        """Wait for the end."""
        out, err = self.process.communicate()
        self._timer.cancel()
        return heard(Run(self.process.returncode, "".join(self.lines) + out, err))


def children(parent: int) -> list[int]:
    """The processes that a process has started and that still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        state, ppid = _state(int(folder.name))
        if ppid == parent and state not in "ZX":
            found.append(int(folder.name))
    return found


def is_gone(pid: int, seconds: float = 10) -> bool:
    """Whether a process has ended, or ends within some seconds."""
    deadline = time.monotonic() + seconds
    while _state(pid)[0] not in "ZX":
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _state(pid: int) -> tuple[str, int]:
    """The state (a letter; X where there is no such process) and the parent of a process."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except (OSError, IndexError):
        return "X", 0
    return fields[0], int(fields[1])


@contextlib.contextmanager
def tmpfs(folder: Path, options: str) -> Iterator[Path]:
    """A file system of its own, for as long as the context lasts; needs root."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    unmount = ["umount", "--lazy", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root and the right to mount")
    try:
        yield folder
    finally:
        subprocess.run(unmount, check=True)
