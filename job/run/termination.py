"""The last word of a run, for Kubernetes: a container's termination message, where there is one.

https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from job.errors import ParedownError
from job.result import Result, ratio

FILE = Path("/dev/termination-log")
# Kubernetes keeps so many bytes.
MOST_BYTES = 4096


def finished(result: Result) -> None:
    """Tell of a result: status, the smallest artifact and how much smaller it is, the gates."""
    smallest = min(result.artifacts, key=lambda it: it.smallest[1])
    codec, size = smallest.smallest
    _write(
        {
            "status": result.status,
            "name": result.name,
            "run_id": result.run_id,
            "smallest": {
                "artifact": smallest.name,
                "encoding": codec,
                "bytes": size,
                "times_smaller": round(ratio(result.baseline, smallest), 2),
            },
            "gates": [
                f"{'passed' if gate.passed else 'MISSED'}: {gate.explanation}"
                for gate in result.gates
            ],
        },
        shorten="gates",
    )


def batch_finished(name: str, exit_code: int, totals: dict[str, Any], failed: list[str]) -> None:
    """Tell of a batch: how many jobs are ready, and which are not."""
    status = "succeeded" if exit_code == 0 else "incomplete"
    message = {"status": status, "name": name, "exit_code": exit_code, **totals}
    _write({**message, "not_ready": failed}, shorten="not_ready")


def failed(error: ParedownError) -> None:
    """Tell of the error that a run ends with."""
    said = {"what": error.what, "where": error.where[:400], "to_do": error.hint[:400]}
    kind = {"exit_code": error.exit_code, "error": type(error).__name__}
    _write({"status": "failed", **kind, **said}, shorten="what")


def _write(message: dict[str, Any], shorten: str) -> None:
    if not FILE.exists():
        return
    content = _encoded(message)
    while len(content) > MOST_BYTES and message[shorten]:
        message[shorten] = message[shorten][: len(message[shorten]) // 2]
        content = _encoded(message)
    with contextlib.suppress(OSError):  # the run's outcome is the same
        FILE.write_bytes(content[:MOST_BYTES])


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()
