"""What the command line says beside the manifest; read and checked by ``parse.py``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Toleration:
    """A taint that the pods may run in spite of; one without a value is for all values."""

    key: str
    value: str | None = None
    effect: str | None = None


@dataclass(frozen=True)
class Options:
    """How a Job is run. What is None is not said, and the cluster decides."""

    image: str
    name: str | None = None
    namespace: str | None = None
    cpu: str = "2"
    cpu_limit: str | None = None
    """Left out, a pod may use what its node has to spare."""
    memory: str = "4Gi"
    scratch: str = "10Gi"
    gpus: int | None = None
    secret: str | None = None
    pull_secret: str | None = None
    service_account: str | None = None
    image_pull_policy: str | None = None
    priority_class: str | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    queue: str | None = None
    node_selector: Mapping[str, str] = field(default_factory=dict)
    tolerations: tuple[Toleration, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    deadline: int | None = None
    """Seconds that the Job may take in all, with its retries."""
    ttl: int = 86_400
    """Seconds that a finished Job is kept."""
    retries: int | None = None
    """Of a single job; left out, 6."""
    shards: int | None = None
    """Of a batch, like those that follow."""
    parallelism: int | None = None
    retries_per_index: int | None = None
