"""The Job: what is retried, what is not, and how a batch is divided.

https://kubernetes.io/docs/concepts/workloads/controllers/job/. The exit codes are paredown's
contract; one that the pod failure policy does not name counts as a failure and is retried.
"""

from __future__ import annotations

from typing import Any

from job.errors import (
    GATE_MISSED_EXIT_CODE,
    BugError,
    InputError,
    ManifestError,
    StageError,
    StorageError,
)
from job.kubernetes.options import RETRIES, Options
from job.kubernetes.parse import QUEUE_LABEL
from job.kubernetes.pod import CONTAINER, pod_template
from job.kubernetes.workload import Shards, Workload

# The manifest is wrong: for the whole batch.
WRONG_FOR_ALL = [ManifestError.exit_code]
# Retries would fail again, but only for this job.
WRONG_AGAIN = [InputError.exit_code, StageError.exit_code, GATE_MISSED_EXIT_CODE]
# Killed because of its memory or its node, or told to stop; storage unavailable.
TRY_AGAIN = [BugError.exit_code, StorageError.exit_code, 137, 143]


def job(workload: Workload) -> dict[str, Any]:
    """The Job; that of a batch is Indexed, with an index for each shard."""
    options, shards = workload.options, workload.shards
    metadata = workload.metadata(workload.name)
    spec: dict[str, Any] = {}
    if options.queue is not None:  # Kueue resumes it when there is room
        metadata["labels"][QUEUE_LABEL] = options.queue
        spec["suspend"] = True
    if options.deadline is not None:
        spec["activeDeadlineSeconds"] = options.deadline
    spec |= _single(options) if shards is None else _indexed(shards)
    spec |= {
        # Not while the old pod is still writing: the new one would find its lock.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _rules(indexed=shards is not None)},
        "ttlSecondsAfterFinished": options.ttl,
        "template": pod_template(workload),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _single(options: Options) -> dict[str, Any]:
    return {"backoffLimit": RETRIES if options.retries is None else options.retries}


def _indexed(shards: Shards) -> dict[str, Any]:
    """A shard that fails does not stop the others: all may fail, each by its own limit."""
    return {
        "completionMode": "Indexed",
        "completions": shards.count,
        "parallelism": shards.parallelism,
        "backoffLimitPerIndex": shards.retries,
        "maxFailedIndexes": shards.count,
    }


def _rules(*, indexed: bool) -> list[dict[str, Any]]:
    """The first rule that matches decides. The exit code of a disrupted pod means nothing."""
    if indexed:
        failures = [_on_exit("FailJob", WRONG_FOR_ALL), _on_exit("FailIndex", WRONG_AGAIN)]
    else:
        failures = [_on_exit("FailJob", WRONG_FOR_ALL + WRONG_AGAIN)]
    disrupted = {
        "action": "Ignore",
        "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
    }
    return [*failures, disrupted, _on_exit("Count", TRY_AGAIN)]


def _on_exit(action: str, codes: list[int]) -> dict[str, Any]:
    """Of this container: one that a cluster injects into pods has other exit codes."""
    on = {"containerName": CONTAINER, "operator": "In", "values": codes}
    return {"action": action, "onExitCodes": on}
