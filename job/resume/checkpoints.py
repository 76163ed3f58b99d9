"""What a run that is stopped leaves for the next: finished pieces of the work, in a flat folder.

``index.json`` names the pieces, with the files of each, their SHA-256 and a record. It is written
last, under another name first, so what it names is whole; a file that it names never changes. The
parent process copies the folder to storage and back. Nothing here is ever unpickled: records are
read by pydantic, and what does not fit is made again, with a warning.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field, ValidationError

from job.artifact import FileName, Record
from job.events import Journal, Stage, Told

INDEX_FILE = "index.json"
TAKEN = "taken from a run that was stopped"

V = TypeVar("V")
R = TypeVar("R", bound=BaseModel)


class StoppedError(Exception):
    """The parent's word to stop was obeyed: what was done is kept."""


class Piece(Record):
    """A finished part of the work."""

    files: dict[FileName, str] = Field(default={})
    """Name in the folder -> SHA-256."""
    record: dict[str, Any] = Field(default={})


class Index(Record):
    """``index.json``."""

    pieces: dict[str, Piece] = Field(default={})


def read_index(folder: Path) -> Index:
    """What a folder holds; an empty index where there is none.

    Raises:
        ValueError: Where it can't be understood.
        OSError: Where it can't be read.
    """
    path = folder / INDEX_FILE
    return Index.model_validate_json(path.read_bytes()) if path.exists() else Index()


def write_index(folder: Path, index: Index) -> None:
    """Write the index, whole or not at all.

    Raises:
        OSError: Where it can't be written.
    """
    partial = folder / f".{INDEX_FILE}"
    with partial.open("w", encoding="utf-8") as file:
        file.write(index.model_dump_json())
        file.flush()
        os.fsync(file.fileno())
    partial.replace(folder / INDEX_FILE)


def place(file: Path, target: Path) -> Path:
    """A file under another name too, without copying it where the disk can do that."""
    target.unlink(missing_ok=True)
    try:
        target.hardlink_to(file)
    except OSError:
        shutil.copyfile(file, target)
    return target


def digest(file: Path) -> str:
    """The file's SHA-256 in hexadecimal."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


@dataclass(frozen=True)
class Form(Generic[V, R]):
    """How a value is kept: as a record, and files."""

    kind: type[R]
    write: Callable[[V], tuple[R, Sequence[Path]]]
    """Value -> record and files, in the folder or to be copied there under their own names."""
    read: Callable[[R, Mapping[str, Path]], V]
    """Record and files (name -> path) -> value; raises what it likes where they do not fit."""


class _Entry(Record):
    """What a piece's record holds."""

    of: str
    """What it was made of."""
    value: dict[str, Any]
    told: Told | None = None


class Kept:
    """The pieces of one job; what is found is taken, what is made is kept.

    Args:
        folder: A folder that is empty or holds what an earlier run of the same job has left.
        journal: Is told what was taken, and what did not fit.
        save_every_s: How often a training is to be saved, in seconds.
    """

    def __init__(self, folder: Path, journal: Journal, save_every_s: float) -> None:
        self.folder = folder
        self.save_every_s = save_every_s
        self.taken: list[str] = []
        """What was taken from a run that was stopped."""
        self.stopping = threading.Event()
        """Set when the parent has said that the work is to stop."""
        self.last = ""
        """The piece that was kept last; empty where none was."""
        self._journal = journal
        self._lock = threading.RLock()  # encodings are kept by threads of their own
        self._stops_itself = False
        self._pieces: dict[str, Piece] = {}
        try:
            self._pieces = dict(read_index(folder).pieces)
        except (ValueError, OSError) as error:
            journal.warn(f"What a stopped run has kept can't be read: {_line(error)}")

    def piece(
        self,
        name: str,
        of: str,
        form: Form[V, R],
        make: Callable[[], V],
        stage: Stage | None,
        *,
        instead_of: str = "",
    ) -> V:
        """A piece of the work: taken where a stopped run has left it, or else made and kept.

        What is told while it is made is kept with it, and told again when it is taken.

        Args:
            name: The piece's.
            of: What it is made of, for instance a digest: another piece does not fit.
            form: How the value is kept.
            make: Makes it.
            stage: The stage that is running; None where ``make`` runs whole stages.
            instead_of: A piece that is of no use any more when this one is there.

        Raises:
            OSError: Where it can't be kept.
        """
        found = self._find(name, of, form)
        if found is not None:
            value, told = found
            self.taken.append(name)
            self._journal.tell_again(told, stage, f"{name}: {TAKEN}" if stage else TAKEN)
            return value
        with self._journal.heard(stage) as heard:
            value = make()
        self._keep(name, form, value, _Entry(of=of, value={}, told=heard[0]), instead_of)
        return value

    def once(self, name: str, of: str, form: Form[V, R], make: Callable[[], V]) -> V:
        """The same for what is done in the background: nothing is told, but that it is taken."""
        found = self._find(name, of, form)
        if found is not None:
            self.taken.append(name)
            return found[0]
        value = make()
        self._keep(name, form, value, _Entry(of=of, value={}))
        return value

    def peek(self, name: str, of: str, form: Form[V, R]) -> V | None:
        """A piece's value, if it is there and fits."""
        found = self._find(name, of, form)
        return None if found is None else found[0]

    def keep(self, name: str, of: str, form: Form[V, R], value: V) -> None:
        """Keep a piece instead of an earlier one of that name."""
        self._keep(name, form, value, _Entry(of=of, value={}))

    def refuse(self, name: str, why: str) -> None:
        """Forget a piece that does not fit, with a warning."""
        self._journal.warn(f"What a stopped run has kept of {name} is made again: {why}")
        with self._lock:
            self._replace({key: it for key, it in self._pieces.items() if key != name}, name)

    @contextlib.contextmanager
    def stops_itself(self) -> Iterator[None]:
        """While this lasts, the work looks at ``stopping`` itself, and ends by a StoppedError."""
        with self._lock:
            self._stops_itself = True
        yield
        with self._lock:
            self._stops_itself = False
        if self.stopping.is_set():
            raise StoppedError

    def stop(self, end: Callable[[], None]) -> None:
        """Let the work stop: at once by ``end``, which does not return, unless it does itself."""
        with self._lock:  # nothing is half kept
            self.stopping.set()
            if not self._stops_itself:
                end()

    def _find(self, name: str, of: str, form: Form[V, R]) -> tuple[V, Told] | None:
        piece = self._pieces.get(name)
        if piece is None:
            return None
        try:
            entry = self._checked(piece, of)
            files = {file: self.folder / file for file in piece.files}
            value = form.read(form.kind.model_validate(entry.value), files)
        except Exception as error:  # noqa: BLE001 - whatever does not fit is made again
            self.refuse(name, _line(error))
            return None
        return value, entry.told or Told(seconds=0)

    def _checked(self, piece: Piece, of: str) -> _Entry:
        """What a piece's record holds; a ValueError or OSError where the piece does not fit."""
        entry = _Entry.model_validate(piece.record)
        if entry.of != of:
            raise ValueError("it was made of something else.")
        for file, expected in piece.files.items():
            if digest(self.folder / file) != expected:
                raise ValueError(f"{file} is damaged.")
        return entry

    def _keep(
        self, name: str, form: Form[V, R], value: V, entry: _Entry, instead_of: str = ""
    ) -> None:
        record, files = form.write(value)
        entry = entry.model_copy(update={"value": record.model_dump(mode="json")})
        for file in files:
            if file.parent != self.folder:
                place(file, self.folder / file.name)
        named = {file.name: digest(self.folder / file.name) for file in files}
        piece = Piece(files=named, record=entry.model_dump(mode="json"))
        with self._lock:
            others = {key: it for key, it in self._pieces.items() if key not in (name, instead_of)}
            self._replace(others | {name: piece}, name)

    def _replace(self, pieces: dict[str, Piece], changed: str) -> None:
        """A new index; what it does not name any more is deleted after it is there."""
        write_index(self.folder, Index(pieces=pieces))
        before = {file for piece in self._pieces.values() for file in piece.files}
        for file in before - {file for piece in pieces.values() for file in piece.files}:
            (self.folder / file).unlink(missing_ok=True)
        self._pieces, self.last = pieces, changed
        self._journal.emit({"event": "kept", "piece": changed})


def _line(error: Exception) -> str:
    """An error in one line."""
    if isinstance(error, ValidationError):
        return f"its record is of another kind ({error.error_count()} fields)."
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
