"""Batches of the quickstart's model, that can be disturbed; see ``fleet_kill.py``."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from buckets import ROOT, contents, environment, upload_quickstart
from fleet_events import Event, read_events
from processes import family

from tests.support.identities import MODELS, RESULTS
from tests.support.seaweed import Seaweed

JOBS = [f"job-{number}" for number in range(6)]
GRACE_S = 20.0
LONGEST_S = 600.0


@dataclass(frozen=True)
class Moment:
    """What is ended, how, and when."""

    number: signal.Signals
    of_worker: bool
    after_s: float

    def __str__(self) -> str:
        return f"{self.number.name} of {'a worker' if self.of_worker else 'the batch'}"


@dataclass
class Ran:
    """A batch that has ended."""

    code: int
    seconds: float
    errors: str
    events: list[Event]
    workers: list[int] = field(default_factory=list)
    """Those that were there at the moment."""
    stop_s: float = 0.0
    """From the signal to the end."""

    @property
    def finished(self) -> Counter[str]:
        """The jobs that it has done, and how often; not those that were done before."""
        return Counter(
            it["job"]
            for it in self.events
            if it["event"] == "run_finished" and not it["already_done"]
        )

    @property
    def stage(self) -> str:
        """The one that failed, or else that was begun last."""
        begun = ["start", *(it["stage"] for it in self.told("stage_started"))]
        failed = [it["where"].removeprefix("stage ") for it in self.told("job_failed")]
        return str((failed or begun)[-1])

    def told(self, event: str) -> list[Event]:
        """The events of a kind."""
        return [it for it in self.events if it["event"] == event]


class Shot(threading.Thread):
    """A signal that is sent once."""

    def __init__(self, process: subprocess.Popen[str], moment: Moment | None, chance: int) -> None:
        super().__init__(daemon=True)
        self.process = process
        self.moment = moment
        self.chance = chance
        """Which of the workers is hit."""
        self.sent_at = 0.0
        self.workers: list[int] = []

    def run(self) -> None:
        """Wait for the moment, for a worker if one is to be killed, and send it."""
        assert self.moment is not None
        time.sleep(self.moment.after_s)
        while self.process.poll() is None:
            _, *self.workers = family(self.process.pid)
            if self.workers or not self.moment.of_worker:
                break
            time.sleep(0.02)
        else:
            return
        hit = self.workers[self.chance % len(self.workers)] if self.moment.of_worker else None
        self.sent_at = time.monotonic()
        with contextlib.suppress(ProcessLookupError):
            os.kill(hit or self.process.pid, self.moment.number)


class Bench:
    """A store, and batches against it."""

    def __init__(self, store: Seaweed, folder: Path) -> None:
        self.store = store
        self.folder = folder
        upload_quickstart(store)

    def run(self, prefix: str, moment: Moment | None = None, chance: int = 0) -> Ran:
        """Run the batch to its end, or to where it is disturbed."""
        scratch = self.scratch(prefix)
        with tempfile.TemporaryFile("w+", dir=self.folder) as errors:
            started = time.monotonic()
            process = subprocess.Popen(
                [sys.executable, "-m", "job", "run", self._manifest(prefix), "--log=json"],
                cwd=ROOT,
                env=environment(self.store, scratch),
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
            deadline = threading.Timer(LONGEST_S, process.kill)
            deadline.start()
            shot = Shot(process, moment, chance)
            if moment:
                shot.start()
            assert process.stdout is not None
            output = process.stdout.read()
            code = process.wait()
            ended = time.monotonic()
            deadline.cancel()
            errors.seek(0)
            said = errors.read().strip()
        stop_s = ended - shot.sent_at if shot.sent_at else 0.0
        return Ran(code, ended - started, said, read_events(output), shot.workers, stop_s)

    def scratch(self, prefix: str) -> Path:
        """Its TMPDIR."""
        path = self.folder / f"tmp-{prefix}"
        path.mkdir(exist_ok=True)
        return path

    def files(self, prefix: str) -> dict[str, bytes]:
        """Model files and encodings."""
        there = contents(self.store, prefix)
        return {
            name: content
            for name, content in there.items()
            if "/." not in name and not name.endswith((".json", ".csv"))
        }

    def left_over(self, prefix: str) -> list[str]:
        """What should not be there after a run has ended."""
        names = contents(self.store, prefix)
        kept = [it for it in names if "/.resume/" in it or it.endswith("failure.json")]
        return kept + [str(it["Key"]) for it in self.store.uploads(RESULTS, f"{prefix}/")]

    def _manifest(self, prefix: str) -> Path:
        document = {
            "kind": "batch",
            "name": prefix,
            "defaults": {
                "dataset": {"uri": f"s3://{MODELS}/mnist.npz", "scale": 1 / 255},
                "resume": {"save_every_s": 0.5, "grace_s": GRACE_S},
            },
            "jobs": [
                {
                    "name": name,
                    "model": {"uri": f"s3://{MODELS}/mnist_baseline.h5"},
                    "training": {"epochs": 4, "batch_size": 32, "seed": seed},
                }
                for seed, name in enumerate(JOBS)
            ],
            "workers": 2,
            "destination": {"uri": f"s3://{RESULTS}/{prefix}"},
        }
        path = self.folder / f"{prefix}.json"
        path.write_text(json.dumps(document))
        return path
