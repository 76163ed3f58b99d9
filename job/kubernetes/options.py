"""The command ``kubernetes`` and its options, each written once: type, default, check and help.

The command's signature is made from them (``parameters``), and so is what it reads (``read``).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Annotated, Any, get_type_hints

import typer

from job.console import Manifest, read_text, say_data, warn
from job.kubernetes import parse
from job.kubernetes.parse import Toleration
from job.text import printable

# Kubernetes stores numbers in this many bits.
INT32 = 2**31 - 1
RETRIES, RETRIES_PER_INDEX, SHARDS = 6, 3, 8


def _option(
    text: str,
    check: Callable[[str, Any], Any] = lambda _, value: value,
    *,
    default: Any = None,
    low: int | None = None,
    high: int = INT32,
) -> Any:
    """An option with its help; ``check`` takes its name and its value, and returns the value."""
    option = typer.Option(help=text, min=low, max=None if low is None else high)
    return field(default=default, metadata={"option": option, "check": check})


def _repeated(
    text: str, check: Callable[[str, Any], Any], metavar: str, empty: Callable[[], Any] = dict
) -> Any:
    """An option that may be given several times; ``check`` takes all its values at once."""
    option = typer.Option(help=text, metavar=metavar)
    metadata = {"option": option, "check": check, "type": list[str] | None}
    return field(default_factory=empty, metadata=metadata)


@dataclass(frozen=True)
class Options:
    """How a Job is run. None means not given: the cluster decides."""

    image: str = _option(
        "The container image, with its tag or digest.", parse.image, default=inspect.Parameter.empty
    )
    name: str | None = _option("The Job's name; left out, the manifest's.", parse.name)
    namespace: str | None = _option("The namespace; left out, kubectl's.", parse.namespace)
    cpu: str = _option("Cores that a pod asks for.", parse.cores, default="2")
    cpu_limit: str | None = _option(
        "The most cores that a pod may use; left out, no limit.", parse.cores
    )
    memory: str = _option("Memory that a pod asks for, and its limit.", parse.size, default="4Gi")
    scratch: str = _option("Disk that a pod asks for, and its limit.", parse.size, default="10Gi")
    gpus: int | None = _option("GPUs of NVIDIA for each pod.", low=1)
    image_pull_policy: str | None = _option(
        "Always, IfNotPresent or Never; left out, the cluster's choice.", parse.pull_policy
    )
    priority_class: str | None = _option("The PriorityClass of the pods.", parse.object_name)
    secret: str | None = _option(
        "The Secret whose keys are the pod's environment: credentials.", parse.object_name
    )
    pull_secret: str | None = _option(
        "The Secret with which the image is pulled from a private registry.", parse.object_name
    )
    service_account: str | None = _option(
        "The service account, for web identity instead of a Secret.", parse.object_name
    )
    env: Mapping[str, str] = _repeated(
        "A variable of the environment; no credentials.", parse.environment, "NAME=VALUE"
    )
    label: Mapping[str, str] = _repeated("A label of Job and pods.", parse.labels, "KEY=VALUE")
    annotation: Mapping[str, str] = _repeated(
        "An annotation of Job and pods.", parse.annotation_texts, "KEY=VALUE"
    )
    node_selector: Mapping[str, str] = _repeated(
        "A label that nodes must have.", parse.selector, "KEY=VALUE"
    )
    toleration: tuple[Toleration, ...] = _repeated(
        "A taint that nodes may have.", parse.tolerations, "KEY[=VALUE][:EFFECT]", tuple
    )
    queue: str | None = _option(
        "The LocalQueue of Kueue, which starts the Job when there is room.", parse.queue
    )
    ttl: int = _option("Seconds that a finished Job is kept.", default=86_400, low=0)
    deadline: int | None = _option(
        "Seconds that the Job may take, with its retries; left out, any.", low=1
    )
    retries: int | None = _option(
        f"A job's retries, {RETRIES} if left out; a disruption is none.", low=0
    )
    shards: int | None = _option(
        f"A batch's shards; left out, one for each job, at most {SHARDS}.", low=1, high=100_000
    )
    parallelism: int | None = _option("Shards that run at once; left out, all.", low=1)
    retries_per_index: int | None = _option(
        f"Each shard's retries, {RETRIES_PER_INDEX} if left out.", low=0
    )


def parameters() -> list[inspect.Parameter]:
    """Every option as a parameter of the command, as Typer reads it."""
    types = get_type_hints(Options)
    return [
        inspect.Parameter(
            it.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if "type" in it.metadata else it.default,
            annotation=Annotated[it.metadata.get("type", types[it.name]), it.metadata["option"]],
        )
        for it in fields(Options)
    ]


def read(given: Mapping[str, Any]) -> Options:
    """Check what was given on the command line.

    Raises:
        ManifestError: For a value that is not allowed: which option, and what it may be.
    """
    options = Options(
        **{
            it.name: it.metadata["check"](f"--{it.name.replace('_', '-')}", given[it.name])
            for it in fields(Options)
            if given[it.name] is not None
        }
    )
    parse.check_limit(options.cpu, options.cpu_limit)
    return options


def kubernetes(manifest: Manifest, **given: Any) -> None:
    """Print the Kubernetes Job that runs a manifest.

    It is YAML for `kubectl apply -f -`. Nothing is asked of a cluster.
    """
    from job.kubernetes.render import render
    from job.manifest.load import read_manifest
    from job.storage.place import find_place, here

    options = read(given)
    text, _ = read_text(manifest, warn)
    source = None if manifest == "-" else find_place(manifest, here())
    rendered = render(read_manifest(text, manifest), text, source, options)
    for warning in rendered.warnings:
        warn(warning)
    for note in rendered.notes:
        typer.echo(f"note: {printable(note)}", err=True)
    say_data(rendered.text.rstrip("\n"))


# Typer makes the options from the signature.
kubernetes.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # PEP 362 allows it
    [inspect.signature(kubernetes, eval_str=True).parameters["manifest"], *parameters()]
)
