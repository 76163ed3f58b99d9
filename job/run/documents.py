"""What a page is made of: ``result.json``, ``failure.json`` or ``summary.json``, found and parsed.

They come from anywhere, so that each way in which one can be wrong is an error of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from job.errors import InputError
from job.manifest.batch import RESERVED
from job.manifest.storage import StorageConfig
from job.result.failure import Failure
from job.result.record import Record
from job.result.result import FAILURE_FILE, RESULT_FILE, Result
from job.result.summary import Summary
from job.run import page_files
from job.run.page_files import Pages
from job.storage.backend import MAX_RESULT_BYTES, Stores
from job.storage.place import Place
from job.text import printable

READING = "Reading the result"
# The version of all three.
VERSION = 1
HINT = "Name a result.json, failure.json or summary.json of paredown, or the folder that holds it."
STDIN = "standard input"


@dataclass(frozen=True)
class Kind:
    """A document that paredown writes."""

    file: str
    record: type[Record]
    fields: frozenset[str]
    """What it has at least, by which it is told from others."""
    pages: Callable[[Any], Pages]
    """Makes its pages."""
    is_of_batch: bool = False
    """A batch's page has another name than those of a run."""


# In a folder that holds several, the first one counts.
KINDS = (
    Kind(RESULT_FILE, Result, frozenset({"run_id", "artifacts"}), page_files.of_result),
    Kind(FAILURE_FILE, Failure, frozenset({"exit_code", "error", "what"}), page_files.of_failure),
    Kind(
        RESERVED[0], Summary, frozenset({"totals", "jobs"}), page_files.of_summary, is_of_batch=True
    ),
)


@dataclass(frozen=True)
class Document:
    """One that was read."""

    kind: Kind
    record: Record
    folder: Place
    """Where its pages belong."""


def read_document(place: Place, stores: Stores) -> Document:
    """Read a document, or that of a folder or a prefix.

    Raises:
        InputError: Where there is none, access is denied, or it is not one of paredown's.
        StorageError: Where storage fails.
    """
    reader = stores.reader(place, StorageConfig())
    is_folder = place.path.endswith("/") or (place.scheme == "file" and place.local.is_dir())
    if place.path and not is_folder:
        content = reader.read(place, MAX_RESULT_BYTES, READING)
        if content is not None:
            kind, record = parse(content, str(place))
            return Document(kind, record, place.folder)
    if place.scheme != "file" or is_folder:
        for kind in KINDS:
            child = place.child(kind.file)
            content = reader.read(child, MAX_RESULT_BYTES, READING)
            if content is not None:
                found, record = parse(content, str(child))
                return Document(found, record, place)
    what = "there is no result in this folder" if is_folder else "there is no such file"
    raise InputError(f"{READING} failed: {what}.", where=str(place), hint=HINT)


def read_stdin(folder: Place) -> Document:
    """Read one from standard input.

    Args:
        folder: Where its pages belong.

    Raises:
        InputError: Where it is too large, or not one of paredown's.
    """
    content = b"" if sys.stdin is None else sys.stdin.buffer.read(MAX_RESULT_BYTES + 1)
    if len(content) > MAX_RESULT_BYTES:
        what = f"{READING} failed: it has more than {MAX_RESULT_BYTES:,} bytes."
        raise InputError(what, where=STDIN, hint=HINT)
    kind, record = parse(content, STDIN)
    return Document(kind, record, folder)


def parse(content: bytes, where: str) -> tuple[Kind, Record]:
    """What a document is, and its record.

    Raises:
        InputError: Where it is not JSON, not one of paredown's, or of a newer version.
    """
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise InputError("This is not JSON.", where=where, hint=HINT) from None
    fields = found.keys() if isinstance(found, dict) else set()
    kind = next((it for it in KINDS if it.fields <= fields), None)
    if kind is None:
        what = "This JSON is neither a result of paredown nor a failure or a summary."
        raise InputError(what, where=where, hint=HINT)
    version = found.get("schema_version", VERSION)
    if isinstance(version, int) and version > VERSION:
        raise InputError(
            f"It has schema_version {version}, and this version of paredown reads {VERSION}.",
            where=where,
            hint="Use the version of paredown that wrote it, or a newer one.",
        )
    try:
        return kind, kind.record.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        path = ".".join(map(str, first["loc"]))
        raise InputError(
            f"This {kind.file} can't be read: {printable(path)}: {first['msg']}.",
            where=where,
            hint="It is damaged, or of a newer version of paredown: use the one that wrote it.",
        ) from None
