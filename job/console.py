"""What the commands share: the named manifest, and standard output.

The encoding of a terminal or a pipe may lack characters (``LC_ALL=C``, Latin-1): those are escaped,
so that no run fails because of how it is shown. Output for programs (YAML, JSON) is always UTF-8,
as their standards require. A full disk does not end a run either: it goes on without a log, and the
exit code reports that the log is incomplete.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from job.errors import ManifestError, ParedownError, from_os_error
from job.report.screen import Screen, Table
from job.storage.place import Place, find_place, here, is_uri
from job.text import printable

if TYPE_CHECKING:
    from job.events import Event
    from job.run.inspect import Measured

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
        ManifestError: If there is none, it is too large, or can't be read from this machine.
        InputError: If a store or a server refuses access.
        StorageError: If one fails.
    """
    from job.storage.manifest_text import read_manifest_text

    if manifest == "-":
        return read_manifest_text(None, warn), here()
    place = find_place(str(_quickstart()) if is_quickstart(manifest) else manifest, here())
    if place.scheme == "s3" and not place.path:
        raise ManifestError(
            "This names a bucket but no key.", where=manifest, hint="Write s3://bucket/key."
        )
    return read_manifest_text(place, warn), place.folder


def read_job(manifest: str) -> Measured:
    """The job of a manifest, for its data set.

    Raises:
        ManifestError: If it is no valid manifest of a job, or can't be read.
        InputError: If a store or a server refuses access.
        StorageError: If one fails.
    """
    from job.manifest.batch import BatchConfig
    from job.manifest.load import read_manifest
    from job.run.inspect import Measured

    text, base = read_text(manifest, warn)
    asked = read_manifest(text, manifest, [])
    if isinstance(asked, BatchConfig):
        raise ManifestError(
            "--dataset takes the manifest of a job, and this is a batch.",
            where=manifest,
            hint='Name a manifest of kind "job" that has the data set.',
        )
    return Measured(asked, base)


def is_quickstart(manifest: str) -> bool:
    """Whether it names the manifest that comes with paredown; a file of that name has priority."""
    return manifest == QUICKSTART and not Path(QUICKSTART).exists()


def _quickstart() -> Path:
    """In a checkout beside this package, else where the installation has put it."""
    checkout = Path(__file__).parents[1] / "manifests"
    folder = checkout if checkout.is_dir() else Path(sys.prefix) / "share" / "paredown"
    return folder / QUICKSTART / f"{QUICKSTART}.json"


def warn(message: str) -> None:
    """Print a warning on standard error."""
    typer.echo(f"warning: {printable(message)}", err=True)


def absolute(uri: str) -> str:
    """A destination on the command line is relative to the current folder."""
    if not uri:
        raise ManifestError("--output is empty.", hint="Give a folder, or leave --output out.")
    return uri if is_uri(uri) else str(Path.cwd() / uri)


def say(text: str) -> None:
    """Print a line for people; raises as ``writing_output`` does."""
    with writing_output():
        print(text, flush=True)  # noqa: T201 - a command's output


def say_data(text: str) -> None:
    """Print what programs read, in UTF-8; raises as ``writing_output`` does."""
    with writing_output():
        print_data(text, sys.stdout)


@contextlib.contextmanager
def writing_output() -> Iterator[None]:
    """If the reader is gone (``| head``), exit silently.

    Raises:
        StorageError: If standard output is on a full disk.
        InputError: If it can't be written to for another reason.
    """
    try:
        yield
    except BrokenPipeError:
        forget()
        raise typer.Exit(128 + signal.SIGPIPE) from None
    except OSError as error:
        forget()
        raise failure(error) from None


ESCAPE = "backslashreplace"
# Error handlers that may raise for a character that the encoding lacks.
MAY_FAIL = ("strict", "surrogateescape", "surrogatepass")


def prepare() -> None:
    """Make both accept any text; one that is closed (``>&-``) is replaced by the null device."""
    if sys.stdout is None or sys.stderr is None:
        nowhere = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - until the end
        sys.stdout, sys.stderr = sys.stdout or nowhere, sys.stderr or nowhere
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors in MAY_FAIL:
            stream.reconfigure(errors=ESCAPE)


def forget() -> None:
    """Discard what is still buffered for standard output: writing it would fail again."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def failure(error: OSError, hint: str = "") -> ParedownError:
    """The error for standard output that can't be written to."""
    found = from_os_error(error, "Writing to standard output", writing=True)
    found.where = "standard output"
    found.hint = hint or "Free some space, or send the output elsewhere."
    return found


def print_data(text: str, stream: TextIO) -> None:
    """Print what programs read: in UTF-8, with plain line feeds."""
    content = f"{text}\n"
    buffer = getattr(stream, "buffer", None)
    if buffer is None:  # replaced by a stream of text
        stream.write(content)
    else:
        stream.flush()
        buffer.write(content.encode("utf-8", "backslashreplace"))
    stream.flush()


class EnduringScreen:
    """Shows what another screen shows, until standard output fails.

    Attributes:
        lost: Why it failed; None if it has not.
    """

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.lost: OSError | None = None

    def show(self, event: Event) -> None:
        """Show an event."""
        self._try(lambda: self._screen.show(event))

    def table(self, table: Table) -> None:
        """Show the closing table."""
        self._try(lambda: self._screen.table(table))

    def error(self, error: ParedownError) -> None:
        """Show the error; if standard output is lost, only on standard error."""
        if self.lost is None:
            self._try(lambda: self._screen.error(error))
        if self.lost is not None:
            with contextlib.suppress(OSError):
                typer.echo(f"error: {error}", err=True)

    def close(self) -> None:
        """Restore the terminal."""
        self._try(self._screen.close)

    def end(self, code: int) -> int:
        """The exit code of a command that would end with ``code``: if that is 0 and output is lost,
        the loss decides, and is reported on standard error.
        """
        self._try(sys.stdout.flush)
        if self.lost is None or code:
            return code
        error = failure(
            self.lost, "The run went on, and its results are published; only its log is not whole."
        )
        self.error(error)
        return error.exit_code

    def _try(self, act: Callable[[], None]) -> None:
        if self.lost is not None:
            return
        try:
            act()
        except BrokenPipeError:
            raise
        except OSError as error:
            self.lost = error
            forget()
