"""The command ``kubernetes``: its many options, read and handed on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from job.console import Manifest, read_text, say_data, warn
from job.text import printable

Words = list[str] | None
# What Kubernetes keeps numbers in.
INT32 = 2**31 - 1


def _option(
    text: str, *, metavar: str | None = None, low: int | None = None, high: int = INT32
) -> Any:
    """An option, its help first; a number has a lowest one, and may have a highest."""
    most = None if low is None else high
    return typer.Option(help=text, metavar=metavar, min=low, max=most)


def kubernetes(
    manifest: Manifest,
    image: Annotated[str, _option("The container image, with its tag or digest.")],
    name: Annotated[str | None, _option("The Job's name; left out, the manifest's.")] = None,
    namespace: Annotated[str | None, _option("The namespace; left out, kubectl's.")] = None,
    cpu: Annotated[str, _option("Cores that a pod asks for.")] = "2",
    cpu_limit: Annotated[
        str | None, _option("The most cores that a pod may use; left out, no limit.")
    ] = None,
    memory: Annotated[str, _option("Memory that a pod asks for, and its limit.")] = "4Gi",
    scratch: Annotated[str, _option("Disk that a pod asks for, and its limit.")] = "10Gi",
    gpus: Annotated[int | None, _option("GPUs of NVIDIA for each pod.", low=1)] = None,
    image_pull_policy: Annotated[
        str | None, _option("Always, IfNotPresent or Never; left out, the cluster's choice.")
    ] = None,
    priority_class: Annotated[str | None, _option("The PriorityClass of the pods.")] = None,
    secret: Annotated[
        str | None, _option("The Secret whose keys are the pod's environment: credentials.")
    ] = None,
    pull_secret: Annotated[
        str | None, _option("The Secret with which the image is pulled from a private registry.")
    ] = None,
    service_account: Annotated[
        str | None, _option("The service account, for web identity instead of a Secret.")
    ] = None,
    env: Annotated[
        Words, _option("A variable of the environment; no credentials.", metavar="NAME=VALUE")
    ] = None,
    label: Annotated[Words, _option("A label of Job and pods.", metavar="KEY=VALUE")] = None,
    annotation: Annotated[
        Words, _option("An annotation of Job and pods.", metavar="KEY=VALUE")
    ] = None,
    node_selector: Annotated[
        Words, _option("A label that nodes must have.", metavar="KEY=VALUE")
    ] = None,
    toleration: Annotated[
        Words, _option("A taint that nodes may have.", metavar="KEY[=VALUE][:EFFECT]")
    ] = None,
    queue: Annotated[
        str | None, _option("The LocalQueue of Kueue, which starts the Job when there is room.")
    ] = None,
    ttl: Annotated[int, _option("Seconds that a finished Job is kept.", low=0)] = 86_400,
    deadline: Annotated[
        int | None,
        _option("Seconds that the Job may take, with its retries; left out, any.", low=1),
    ] = None,
    retries: Annotated[
        int | None, _option("A job's retries, 6 if left out; a disruption is none.", low=0)
    ] = None,
    shards: Annotated[
        int | None,
        _option("A batch's shards; left out, one for each job, at most 8.", low=1, high=100_000),
    ] = None,
    parallelism: Annotated[
        int | None, _option("Shards that run at once; left out, all.", low=1)
    ] = None,
    retries_per_index: Annotated[
        int | None, _option("Each shard's retries, 3 if left out.", low=0)
    ] = None,
) -> None:
    """Print the Kubernetes Job that runs a manifest.

    It is YAML for `kubectl apply -f -`. Nothing is asked of a cluster.
    """
    from job.kubernetes import parse
    from job.kubernetes.options import Options
    from job.kubernetes.render import render
    from job.manifest.load import read_manifest
    from job.storage.place import find_place, here

    options = Options(
        image=parse.image(image),
        name=parse.name(name),
        namespace=parse.namespace(namespace),
        cpu=parse.cpu(cpu),
        cpu_limit=parse.cpu_limit(cpu_limit, cpu),
        memory=parse.size("--memory", memory),
        scratch=parse.size("--scratch", scratch),
        gpus=gpus,
        secret=parse.object_name("--secret", secret),
        pull_secret=parse.object_name("--pull-secret", pull_secret),
        service_account=parse.object_name("--service-account", service_account),
        env=parse.environment(env or []),
        image_pull_policy=parse.pull_policy(image_pull_policy),
        priority_class=parse.object_name("--priority-class", priority_class),
        annotations=parse.annotations_of(annotation or []),
        deadline=deadline,
        labels=parse.labels(label or []),
        node_selector=parse.selector("--node-selector", node_selector or []),
        tolerations=parse.tolerations(toleration or []),
        queue=parse.queue(queue),
        ttl=ttl,
        retries=retries,
        shards=shards,
        parallelism=parallelism,
        retries_per_index=retries_per_index,
    )
    text, _ = read_text(manifest, warn)
    source = None if manifest == "-" else find_place(manifest, here())
    rendered = render(read_manifest(text, manifest), text, source, options)
    for warning in rendered.warnings:
        warn(warning)
    for note in rendered.notes:
        typer.echo(f"note: {printable(note)}", err=True)
    say_data(rendered.text.rstrip("\n"))
