"""What is rendered: all that the Job and its pods take from the manifest."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass

from job import __version__
from job.kubernetes.names import dns_label, label_value
from job.kubernetes.options import Options
from job.manifest.batch import BatchConfig
from job.manifest.expand import discovered, expand
from job.manifest.job import JobConfig

MANIFEST_DIGEST = "paredown/manifest-sha256"
MOUNT = "/manifest"
FILE = "manifest.json"
DEFAULT_SHARDS = 8
# Between the last save and the end of the process; and what Kubernetes gives when nothing is said.
AFTER_GRACE_S = 10
LEAST_GRACE_S = 30


@dataclass(frozen=True)
class Shards:
    """How a batch is shared out: each completion of the Job is a shard of it."""

    count: int
    parallelism: int
    retries: int
    """For each of them."""


@dataclass(frozen=True)
class Plan:
    """A manifest that can run in a pod."""

    name: str
    """The Job's name."""
    manifest: str
    """The argument of ``paredown run``: a path in the pod, or an ``s3://`` URI."""
    sha256: str
    """Of the manifest's text."""
    config_map: str | None
    """The name of the ConfigMap that holds the manifest; None where it is in a bucket."""
    grace_s: int
    """Seconds from SIGTERM to SIGKILL."""
    shards: Shards | None
    """None for a single job."""

    def annotations(self, options: Options) -> dict[str, str]:
        """Which manifest an object was made from, and then those of the command line."""
        return {MANIFEST_DIGEST: self.sha256} | dict(options.annotations)

    def labels(self, options: Options) -> dict[str, str]:
        """The standard labels, and then those of the command line."""
        standard = {
            "name": "paredown",
            "instance": self.name,
            "version": label_value(__version__),
            "component": "batch" if self.shards else "job",
            "managed-by": "paredown",
        }
        labels = {f"app.kubernetes.io/{name}": value for name, value in standard.items()}
        return labels | dict(options.labels)


def make_plan(
    manifest: JobConfig | BatchConfig, text: str, uri: str | None, shards: Shards | None, name: str
) -> Plan:
    """Plan the Job of a manifest; ``uri`` is where in a bucket it is, if it is in one."""
    job_name = dns_label(name)
    sha256 = hashlib.sha256(text.encode()).hexdigest()
    return Plan(
        name=job_name,
        manifest=f"{MOUNT}/{FILE}" if uri is None else uri,
        sha256=sha256,
        config_map=f"{job_name}-{sha256[:10]}" if uri is None else None,
        grace_s=_grace(manifest),
        shards=shards,
    )


def _grace(manifest: JobConfig | BatchConfig) -> int:
    """Enough for the last save of whichever job takes longest."""
    if isinstance(manifest, JobConfig):
        jobs = [manifest]
    else:
        jobs = expand(manifest)
        if manifest.discover is not None:
            jobs.append(discovered(manifest, "discovered", manifest.discover.uri))
    longest = max((job.resume.grace_s for job in jobs if job.resume is not None), default=0.0)
    return max(LEAST_GRACE_S, math.ceil(longest) + AFTER_GRACE_S)
