"""What ``paredown report`` does: the pages of a result again, from what it says alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from job.console import absolute, say, warn
from job.errors import BugError, InputError, ManifestError
from job.storage.place import find_place, here
from job.text import printable

if TYPE_CHECKING:
    from job.run.documents import Document
    from job.storage.destination import Destination


def report(
    result: Annotated[
        str,
        typer.Argument(
            help="A result.json, failure.json or summary.json, or the folder that holds one: a "
            "path, a URI (file://, s3://, https://), or - ."
        ),
    ],
    output: Annotated[
        str | None,
        typer.Option(metavar="DIR", help="Where the pages go, if not beside it."),
    ] = None,
) -> None:
    """Make the pages of a run or a batch again, from its result alone."""
    from job.manifest.storage import StorageConfig
    from job.run.documents import read_document, read_stdin
    from job.storage.backend import Stores
    from job.storage.destination import Destination

    if not result:
        raise ManifestError("The result is empty.", hint="Name a file, a folder, or - .")
    stores, target = Stores(warn), None if output is None else find_place(absolute(output), here())
    source = None if result == "-" else find_place(result, here())
    if target is None and source is not None and source.scheme == "https":
        raise ManifestError(
            "Pages can't be written to a web server, where this result is.",
            where=result,
            hint="Say where they go: --output DIR.",
        )
    if target is not None:
        stores.backend(target, StorageConfig())  # nothing can be written to a web server
    document = read_stdin(here()) if source is None else read_document(source, stores)
    folder = target or document.folder
    destination = Destination(folder, stores.backend(folder, StorageConfig()), warn)
    for name in _write(document, destination):
        say(printable(str(folder.child(name))))


def _write(document: Document, destination: Destination) -> list[str]:
    """Write the pages; those that are there already, the same, stay.

    Returns:
        Their names.

    Raises:
        ManifestError: Where files that paredown did not create have such names.
        InputError: Where the pages can't be made of it.
        BugError: Where what makes pages is not installed.
    """
    from job.result.artifact import media_type

    pages = document.kind.pages(document.record)
    if pages.problem:
        if not pages.is_installed:
            raise BugError(pages.problem, hint="Install paredown with all that it needs.")
        raise InputError(
            pages.problem,
            where=str(document.folder.child(document.kind.file)),
            hint="If paredown wrote that file, and nobody changed it, please report this as a bug.",
        )
    place, backend = destination.place, destination.backend
    if not _is_ours(document, destination):
        others = [name for name, it in pages.files.items() if destination.read(name) != it]
        foreign = backend.foreign(place, others)
        if foreign:
            raise ManifestError(
                f"The folder holds files that would be overwritten: {', '.join(foreign)}.",
                where=str(place),
                hint="No result of paredown is beside them, so they may be somebody else's: choose "
                "another folder, or move them away.",
            )
    for name, content in pages.files.items():
        backend.write(place.child(name), content, {}, media_type(name))
    return list(pages.files)


def _is_ours(document: Document, destination: Destination) -> bool:
    """Whether a document of paredown is there whose pages have these names."""
    from job.run.documents import KINDS, parse

    for kind in KINDS:
        if kind.is_of_batch == document.kind.is_of_batch:
            content = destination.read(kind.file)
            try:
                if content is not None and parse(content, kind.file)[0] == kind:
                    return True
            except InputError:
                continue
    return False
