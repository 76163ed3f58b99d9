"""What the commands share: the manifest that is named, and lines on standard output."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import typer

from job import output
from job.errors import InputError, ManifestError
from job.printable import printable
from job.store.uri import Place, find_place, here, is_uri

QUICKSTART = "quickstart"
Manifest = Annotated[
    str,
    typer.Argument(
        help="The manifest: a path, a URI (file://, s3://, https://), - , or quickstart."
    ),
]


def read_text(manifest: str, warn: Callable[[str], None]) -> tuple[str, Place]:
    """The manifest's text, and the folder that its relative URIs are relative to.

    Raises:
        ManifestError: Where it names none, is too large, or can't be read from this machine.
        InputError: Where a store or a server refuses it.
        StorageError: Where one fails.
    """
    from job.store.text import read_manifest_text

    if manifest == "-":
        return read_manifest_text(None, warn), here()
    place = find_place(str(_quickstart()) if is_quickstart(manifest) else manifest, here())
    if place.scheme == "s3" and not place.path:
        raise ManifestError(
            "This names a bucket but no key.", where=manifest, hint="Write s3://bucket/key."
        )
    return read_manifest_text(place, warn), place.folder


def is_quickstart(manifest: str) -> bool:
    """Whether the manifest that comes with paredown is meant; a file of that name goes before."""
    return manifest == QUICKSTART and not Path(QUICKSTART).exists()


def _quickstart() -> Path:
    """In a checkout beside this package, else where the package's installation has put it."""
    checkout = Path(__file__).parents[1] / "manifests"
    folder = checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "paredown"
    return folder / QUICKSTART / f"{QUICKSTART}.json"


def warn(message: str) -> None:
    """Say on standard error what a user should know of."""
    typer.echo(f"warning: {printable(message)}", err=True)


def absolute(uri: str) -> str:
    """A destination on the command line is relative to the current folder."""
    if not uri:
        raise ManifestError("--output is empty.", hint="Give a folder, or leave --output out.")
    return uri if is_uri(uri) else str(Path.cwd() / uri)


def unnameable(error: UnicodeEncodeError) -> InputError:
    """The refusal of a file's name that is no text in this locale."""
    return InputError(
        "A file's name has characters that the encoding of this locale lacks.",
        where=str(error.object)[:200],
        hint="Set LC_ALL=C.UTF-8 or PYTHONUTF8=1, and run again.",
    )


def say(text: str) -> None:
    """Print a line for people.

    Raises:
        StorageError: Where standard output can't be written to; see ``writing_output``.
    """
    with writing_output():
        print(text, flush=True)  # noqa: T201 - a command's output


def say_data(text: str) -> None:
    """Print what programs read, in UTF-8; raises as ``say`` does."""
    with writing_output():
        output.print_data(text, sys.stdout)


@contextlib.contextmanager
def writing_output() -> Iterator[None]:
    """Where nobody reads any more (``| head``), end without a word.

    Raises:
        StorageError: Where standard output is on a full disk.
        InputError: Where it can't be written to for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        output.forget()
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except OSError as error:
        output.forget()
        raise output.failure(error) from None
