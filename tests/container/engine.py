"""The image, run as a security review wants it run."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.conftest import Run
from tests.support.required import lacking

IMAGE = os.environ.get("PAREDOWN_IMAGE", "paredown")
LIMITS = ("--memory", "2g", "--cpus", "1", "--pids-limit", "256")
HARDENED = (
    *("--read-only", "--cap-drop", "all", "--security-opt", "no-new-privileges"),
    *("--tmpfs", "/tmp:rw,noexec,nosuid"),  # noqa: S108 - in the container
)
NOBODY = "65532:65532"
# Of a library: a bug that nobody foresees.
BROKEN = "raise LookupError('it is broken')"


def engine() -> str:
    """podman or docker."""
    found = os.environ.get("PAREDOWN_ENGINE") or shutil.which("podman") or shutil.which("docker")
    if not found:
        lacking("podman", "there is neither podman nor docker")
    return found


def engine_name() -> str:
    """Which of the two it is; the image's tests can be required by it."""
    return Path(engine()).name


def call(*arguments: str) -> str:
    """What the engine prints."""
    done = subprocess.run(
        [engine(), *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass
class Container:
    """A container, running or ended."""

    name: str
    process: subprocess.Popen[str]
    last_word: Path
    lines: list[str] = field(default_factory=list)

    def until(self, event: str, stage: str | None = None) -> dict[str, Any]:
        """Read on until an event has been seen, of a stage where one is given."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)
            seen: dict[str, Any] = json.loads(line)
            if seen["event"] == event and stage in (None, seen.get("stage")):
                return seen
        raise AssertionError(f"{event} {stage} was never seen: {self.lines} {self.finish().err}")

    def stop_at(
        self, event: str, stage: str, grace_s: int, then: Callable[[], None] = lambda: None
    ) -> float:
        """Have the engine stop it when an event of a stage has been seen; the seconds it took.

        The process that told of the event does nothing until the signal is there: its stage may be
        over before the engine has sent one. ``then`` is called before it gets to know of it.
        """
        pid = self._pid()
        self.until(event, stage)
        os.kill(pid, signal.SIGSTOP)
        started = time.monotonic()
        stopping = subprocess.Popen([engine(), "stop", "--time", str(grace_s), self.name])
        while not _awaits(pid, signal.SIGTERM):
            assert stopping.poll() is None
            time.sleep(0.01)
        then()
        os.kill(pid, signal.SIGCONT)
        assert stopping.wait() == 0
        return time.monotonic() - started

    def _pid(self) -> int:
        """The process's number outside of the container; waits until it is started."""
        while self.process.poll() is None:
            command = [engine(), "container", "inspect", "--format", "{{.State.Pid}}", self.name]
            found = subprocess.run(command, capture_output=True, text=True, check=False)
            if found.returncode == 0 and int(found.stdout) > 0:
                return int(found.stdout)
            time.sleep(0.02)
        raise AssertionError(f"It has ended: {self.finish().err}")

    def finish(self) -> Run:
        """Wait for the end."""
        out, err = self.process.communicate(timeout=300)
        return Run(self.process.returncode, "".join(self.lines) + out, err)

    def told(self) -> dict[str, Any]:
        """The termination message."""
        content = self.last_word.read_bytes()
        assert len(content) <= 4096
        message: dict[str, Any] = json.loads(content)
        return message


def _awaits(pid: int, number: signal.Signals) -> bool:
    """Whether a signal has been sent to a process that was not told of it yet."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (pending,) = [line.split()[1] for line in lines if line.startswith("ShdPnd:")]
    return bool(int(pending, 16) & 1 << (number - 1))


@contextlib.contextmanager
def container(
    folder: Path,
    *arguments: str,
    user: str = NOBODY,
    limits: Sequence[str] = LIMITS,
    network: str = "none",
    variables: Mapping[str, str] | None = None,
    volumes: Sequence[str] = (),
) -> Iterator[Container]:
    """Run the image's command, hardened; ``folder`` takes the termination message."""
    name = f"paredown-test-{uuid.uuid4().hex[:12]}"
    last_word = folder / f"{name}.termination"
    last_word.touch()
    last_word.chmod(0o666)
    command = [engine(), "run", "--rm", "--name", name, "--user", user, "--network", network]
    command += [*HARDENED, *limits, "--volume", f"{last_word}:/dev/termination-log"]
    for volume in volumes:
        command += ["--volume", volume]
    for key in variables or {}:
        command += ["--env", key]  # its value comes from the environment, not the command line
    process = subprocess.Popen(
        [*command, IMAGE, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | (variables or {}),
    )
    try:
        yield Container(name, process, last_word)
    finally:
        if process.poll() is None:
            subprocess.run([engine(), "kill", name], capture_output=True, check=False)
            process.communicate()


def run(folder: Path, *arguments: str, **options: Any) -> tuple[Run, dict[str, Any]]:
    """Run a container to its end: what it printed, and its termination message."""
    with container(folder, *arguments, **options) as it:
        return it.finish(), it.told()
