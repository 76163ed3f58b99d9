"""What the commands share: the manifest that is named, and lines on standard output."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Annotated

import typer

from job.errors import ManifestError
from job.store.uri import Place, find_place, here, is_uri

Manifest = Annotated[
    str, typer.Argument(help="The manifest: a path, a URI (file://, s3://, https://), or - .")
]


def read_text(manifest: str) -> tuple[str, Place]:
    """The manifest's text, and the folder that its relative URIs are relative to."""
    from job.store.text import read_manifest_text

    if manifest == "-":
        return read_manifest_text(None), here()
    place = find_place(manifest, here())
    return read_manifest_text(place), place.folder


def absolute(uri: str) -> str:
    """A destination on the command line is relative to the current folder."""
    if not uri:
        raise ManifestError("--output is empty.", hint="Give a folder, or leave --output out.")
    return uri if is_uri(uri) else str(Path.cwd() / uri)


def say(text: str) -> None:
    """Print a line; where nobody reads any more, end without a word."""
    try:
        print(text, flush=True)  # noqa: T201 - a command's output
    except BrokenPipeError:
        forget_output()
        raise typer.Exit(128 + signal.SIGPIPE) from None


def forget_output() -> None:
    """Let what is still buffered go nowhere: writing it would fail again at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
