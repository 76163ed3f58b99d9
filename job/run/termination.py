"""A container's termination message, for Kubernetes, where it provides a file for one.

https://kubernetes.io/docs/tasks/debug/debug-application/determine-reason-pod-failure/
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from job.errors import ParedownError
from job.report.tables import gate_lines
from job.result.result import Result, ratio

FILE = Path("/dev/termination-log")
# Kubernetes keeps so many bytes.
MOST_BYTES = 4096


def finished(result: Result, warn: Callable[[str], None]) -> None:
    """Report a result: status, the chosen and the smallest artifact, how much smaller they are, and
    the gates that decided.

    Args:
        result: The result.
        warn: Called where that can't be written. The run's outcome is the same.
    """
    smallest = min(result.artifacts, key=lambda artifact: artifact.smallest[1])
    codec, size = smallest.smallest
    chosen, artifact = result.chosen, result.chosen_artifact
    published = None
    if chosen is not None and artifact is not None:
        times = round(ratio(result.baseline, artifact), 2)
        published = {**chosen.model_dump(mode="json"), "times_smaller": times}
    _write(
        {
            "status": result.status,
            "name": result.name,
            "run_id": result.run_id,
            "chosen": published,
            "smallest": {
                "artifact": smallest.name,
                "encoding": codec,
                "bytes": size,
                "times_smaller": round(ratio(result.baseline, smallest), 2),
            },
            "gates": [line.removeprefix("gate ") for line in gate_lines(result)],
        },
        "gates",
        warn,
    )


def batch_finished(
    name: str,
    exit_code: int,
    totals: dict[str, Any],
    not_ready: list[str],
    warn: Callable[[str], None],
) -> None:
    """Report a batch: how many jobs are ready, and which are not; ``warn`` as above."""
    status = "succeeded" if exit_code == 0 else "incomplete"
    message = {"status": status, "name": name, "exit_code": exit_code, **totals}
    _write({**message, "not_ready": not_ready}, "not_ready", warn)


def failed(error: ParedownError, warn: Callable[[str], None]) -> None:
    """Report the error that a run ends with; ``warn`` as above."""
    text = {"what": error.what, "where": error.where[:400], "to_do": error.hint[:400]}
    kind = {"exit_code": error.exit_code, "error": type(error).__name__}
    _write({"status": "failed", **kind, **text}, "what", warn)


def _write(message: dict[str, Any], shorten: str, warn: Callable[[str], None]) -> None:
    content = _encoded(message)
    while len(content) > MOST_BYTES and message[shorten]:
        message[shorten] = message[shorten][: len(message[shorten]) // 2]
        content = _encoded(message)
    try:
        if FILE.exists():
            FILE.write_bytes(content[:MOST_BYTES])
    except OSError as error:
        warn(f"The termination message could not be written to {FILE}: {error.strerror}.")


def _encoded(message: dict[str, Any]) -> bytes:
    return json.dumps(message, ensure_ascii=False).encode()
