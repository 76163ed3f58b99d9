"""The command ``kubernetes``."""

from __future__ import annotations

import inspect
from typing import Any

import typer

from job.console import Manifest, read_text, say_data, warn
from job.kubernetes.options import parameters, read
from job.text import printable


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


_own = inspect.signature(kubernetes, eval_str=True).parameters
# Typer makes the options from the signature.
kubernetes.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # PEP 362 allows it
    [_own["manifest"], *parameters()]
)
