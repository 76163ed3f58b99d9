"""Runs of the quickstart from bucket to bucket, that can be killed; see ``kill.py``."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from buckets import (
    ROOT,
    contents,
    environment,
    write_manifest,
)

from tests.support.faults import Faults
from tests.support.identities import RESULTS
from tests.support.seaweed import Seaweed

# The command; only that it prints all progress, and not some every five seconds.
CODE = """
from job.report import screen
screen.JSON_LINE_EVERY_S = 0
from job.cli import main
main()
"""
# Beside the save interval.
ALLOWANCE_S = 2.0
GRACE_S = 20.0
LONGEST_S = 600.0
# They name the destination, or times.
OF_THE_RUN = ("manifest.json", "result.json", "report.html", "report.md")


@dataclass
class Ran:
    """A run that has ended."""

    code: int
    seconds: float
    stop_s: float
    """From the signal to the end."""
    errors: str
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def stage(self) -> str:
        """The one that was begun last."""
        begun = [it["stage"] for it in self.events if it["event"] == "stage_started"]
        return str(begun[-1]) if begun else "start"

    @property
    def training(self) -> list[tuple[float, int]]:
        """When it was told (seconds since the epoch) how many steps are done."""
        return [
            (datetime.fromisoformat(it["time"]).timestamp(), it["done"])
            for it in self.events
            if it["event"] == "progress" and it["stage"] == "prune"
        ]

    @property
    def first_step(self) -> int:
        """The step that the training went on from."""
        for it in self.events:
            if it["event"] == "stage_resumed" and (found := re.search(r"step (\d+)", it["what"])):
                return int(found[1])
        return 0


class Shot:
    """A signal that is sent once."""

    def __init__(self, process: subprocess.Popen[str], number: signal.Signals) -> None:
        self.process = process
        self.number = number
        self.sent_at = 0.0

    def fire(self) -> None:
        """Send it, unless the process has ended."""
        if not self.sent_at and self.process.poll() is None:
            self.sent_at = time.monotonic()
            os.kill(self.process.pid, self.number)


class Bench:
    """A store, a proxy before it, and runs against that."""

    def __init__(
        self,
        store: Seaweed,
        proxy: Faults,
        folder: Path,
        save_every_s: float,
        sections: Mapping[str, Any] | None = None,
    ) -> None:
        self.store = store
        self.sections = sections or {}
        self.proxy = proxy
        self.folder = folder
        self.save_every_s = save_every_s

    def run(self, prefix: str, arm: Callable[[subprocess.Popen[str]], object] | None = None) -> Ran:
        """Run the quickstart to its end, or to where ``arm`` lets it be ended."""
        resume = {"save_every_s": self.save_every_s, "grace_s": GRACE_S}
        path = self.folder / "manifest.json"
        manifest = write_manifest(path, prefix, resume=resume, **self.sections)
        self.proxy.clear()
        with tempfile.TemporaryFile("w+", dir=self.folder) as errors:
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-c", CODE, "run", str(manifest), "--log", "json"],
                cwd=ROOT,
                env=environment(self.store, self.folder, self.proxy.url),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            deadline = threading.Timer(LONGEST_S, process.kill)
            deadline.start()
            armed = arm(process) if arm else None
            assert process.stdout is not None
            events = [json.loads(line) for line in process.stdout if line.endswith("\n")]
            code = process.wait()
            ended = time.monotonic()
            deadline.cancel()
            stop_s = ended - armed.sent_at if isinstance(armed, Shot) and armed.sent_at else 0.0
            errors.seek(0)
            return Ran(code, ended - started, stop_s, errors.read().strip(), events)

    def result_is_whole(self, prefix: str) -> tuple[bool, bool]:
        """Whether a result is there, and whether all the files that it names are, too."""
        there = contents(self.store, prefix)
        if "result.json" not in there:
            return False, False
        named: dict[str, str] = {}
        for artifact in json.loads(there["result.json"])["artifacts"]:
            for it in (artifact, *artifact["encoded"].values()):
                named[it["path"]] = it["sha256"]
        found = {name: hashlib.sha256(content).hexdigest() for name, content in there.items()}
        return True, "manifest.json" in there and named.items() <= found.items()

    def left_over(self, prefix: str) -> list[str]:
        """What should not be there after a run has ended."""
        kept = [name for name in contents(self.store, prefix) if name.startswith(".resume/")]
        return kept + [str(it["Key"]) for it in self.store.uploads(RESULTS, f"{prefix}/")]
