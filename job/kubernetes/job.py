"""The Job: what is tried again, what is not, and how a batch is shared out.

https://kubernetes.io/docs/concepts/workloads/controllers/job/. The exit codes are paredown's
contract; what a pod failure policy does not name counts as a failure and is tried again.
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
from job.kubernetes.options import Options
from job.kubernetes.parse import QUEUE_LABEL
from job.kubernetes.plan import Plan, Shards
from job.kubernetes.pod import CONTAINER, pod_template

DEFAULT_RETRIES = 6
DEFAULT_RETRIES_PER_INDEX = 3
# Wrong for the whole batch: the manifest is.
WRONG_FOR_ALL = [ManifestError.exit_code]
# Wrong again whenever it is tried, but for this job alone.
WRONG_AGAIN = [InputError.exit_code, StageError.exit_code, GATE_MISSED_EXIT_CODE]
# Killed, for its memory or its node, or told to stop; storage that was away.
TRY_AGAIN = [BugError.exit_code, StorageError.exit_code, 137, 143]


def job(plan: Plan, options: Options) -> dict[str, Any]:
    """The Job; one of a batch is Indexed, an index for each shard."""
    metadata: dict[str, Any] = {"name": plan.name}
    if options.namespace is not None:
        metadata["namespace"] = options.namespace
    metadata |= {"labels": plan.labels(options), "annotations": plan.annotations(options)}
    spec: dict[str, Any] = {}
    if options.queue is not None:  # Kueue lets it go when there is room for it
        metadata["labels"][QUEUE_LABEL] = options.queue
        spec["suspend"] = True
    if options.deadline is not None:
        spec["activeDeadlineSeconds"] = options.deadline
    spec |= _single(options) if plan.shards is None else _indexed(plan.shards)
    spec |= {
        # Not while the old one is still writing: the new one would find its lock.
        "podReplacementPolicy": "Failed",
        "podFailurePolicy": {"rules": _rules(indexed=plan.shards is not None)},
        "ttlSecondsAfterFinished": options.ttl,
        "template": pod_template(plan, options),
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _single(options: Options) -> dict[str, Any]:
    return {"backoffLimit": DEFAULT_RETRIES if options.retries is None else options.retries}


def _indexed(shards: Shards) -> dict[str, Any]:
    """A shard that fails does not stop the others: all of them may fail, each by its own limit."""
    return {
        "completionMode": "Indexed",
        "completions": shards.count,
        "parallelism": shards.parallelism,
        "backoffLimitPerIndex": shards.retries,
        "maxFailedIndexes": shards.count,
    }


def _rules(*, indexed: bool) -> list[dict[str, Any]]:
    """The first rule that fits decides. A pod that a disruption took has no say of its own left."""
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
    """For the container here: one that a cluster adds to its pods has other codes."""
    on = {"containerName": CONTAINER, "operator": "In", "values": codes}
    return {"action": action, "onExitCodes": on}
