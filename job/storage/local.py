"""The local disk: inputs are read where they are, results appear whole or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from job.artifact import file_digest
from job.errors import InputError, ManifestError, from_os_error, is_disk_full

# Files that are not whole yet are named so.
PARTIAL = ".paredown-partial-"
# Stands at the destination while files are put there.
MARKER = ".paredown-publishing"


def measure(path: Path, doing: str) -> tuple[int, str]:
    """The file's size in bytes and its SHA-256 in hexadecimal.

    Raises:
        InputError: Where it is missing, can't be read, or is no plain file.
    """
    try:
        if path.exists() and not path.is_file():
            raise InputError(
                f"{doing} failed: this is no plain file.", where=str(path), hint="Name a file."
            )
        return file_digest(path)
    except OSError as error:
        raise from_os_error(error, doing, writing=False) from None


@contextlib.contextmanager
def scratch(within: Path | None = None) -> Iterator[Path]:
    """A folder of this run's own with the empty folder ``output`` in it, gone when the run is over.

    Where TMPDIR can't be used, Python takes another folder without a word: it may be one in memory,
    or a small disk.

    Args:
        within: The folder that it is made in; left out, TMPDIR.

    Raises:
        InputError: Where none may be made.
        StorageError: Where the disk is full.
    """
    asked = os.environ.get("TMPDIR")
    place = within or (Path(asked).absolute() if asked else None)
    try:
        folder = tempfile.mkdtemp(prefix="paredown-", dir=place)
        (Path(folder) / "output").mkdir()
    except OSError as error:
        if asked and not is_disk_full(error):
            raise InputError(
                f"TMPDIR names no folder that can be written: {error.strerror}.",
                where=asked,
                hint="Point TMPDIR at one, or leave it out.",
            ) from None
        raise from_os_error(error, "Making a scratch folder", writing=True) from None
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_json(path: Path, document: Any) -> None:
    """Write a document as indented JSON.

    Raises:
        StorageError: Where the disk is full.
    """
    try:
        path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise from_os_error(error, "Writing to scratch", writing=True) from None


@contextlib.contextmanager
def claimed(destination: Path, wait: Callable[[], None]) -> Iterator[None]:
    """Make the folder, and keep it from other runs until the end of this one.

    Args:
        destination: The folder.
        wait: Called when another run has the folder, before its end is waited for.

    Raises:
        InputError: Where it is no folder, or can't be made.
        StorageError: Where the disk is full.
    """
    try:
        destination.mkdir(parents=True, exist_ok=True)
        handle = os.open(destination, os.O_RDONLY | os.O_DIRECTORY)
    except (FileExistsError, NotADirectoryError):
        raise InputError(
            "The destination is no folder: a file is in the way.",
            where=str(destination),
            hint="Choose another destination.",
        ) from None
    except OSError as error:
        raise from_os_error(error, "Making the destination", writing=True) from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            wait()
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def prepare(destination: Path, protected: Collection[str]) -> None:
    """Make sure, before any work, that the results can be written and hurt nobody else's files.

    What a killed run left under temporary names is cleared, and what its marker names may go.

    Args:
        destination: The folder, which is there.
        protected: Names that must not be there yet: the files would be somebody's own.

    Raises:
        ManifestError: Where they are, and no killed run has left them.
        InputError: Where the destination may not be written.
        StorageError: Where the disk is full.
    """
    probe = destination / f"{PARTIAL}probe"
    try:
        begun = _begun(destination)
        there = [name for name in protected if os.path.lexists(destination / name)]
        _refuse(destination, [name for name in there if name not in begun])
        for left_over in destination.glob(f"{PARTIAL}*"):
            left_over.unlink(missing_ok=True)
        probe.write_bytes(b"paredown")
        probe.unlink()
    except OSError as error:
        with contextlib.suppress(OSError):
            probe.unlink(missing_ok=True)
        raise from_os_error(
            error, "Preparing the destination", writing=True, place=destination
        ) from None


def _begun(destination: Path) -> set[str]:
    """The files that a killed run was about to write or remove."""
    try:
        return set((destination / MARKER).read_text(encoding="utf-8").splitlines())
    except (FileNotFoundError, UnicodeDecodeError):
        return set()


def _refuse(destination: Path, foreign: list[str]) -> None:
    if foreign:
        raise ManifestError(
            f"The destination holds files that would be overwritten: {', '.join(foreign)}.",
            where=str(destination),
            hint="Choose a folder of its own for the results, or move those files away.",
        )


def publish(source: Path, destination: Path, last: str, replaced: Collection[str]) -> None:
    """Put all files of a folder into the destination, the one named ``last`` at the end.

    A result of an earlier run is taken away first, so that it never stands beside files that are
    not its own. Every file is written under a temporary name, flushed to the disk and renamed. A
    marker says meanwhile which files there are a run's.

    Args:
        source: The folder.
        destination: The folder they go to.
        last: The file whose presence means that all others are there.
        replaced: Files of the earlier run.

    Raises:
        InputError: Where the destination may not be written.
        StorageError: Where the disk is full or fails.
    """
    ordered = sorted(source.iterdir(), key=lambda file: (file.name == last, file.name))
    try:
        mine = [*(file.name for file in ordered), *replaced, *_begun(destination)]
        put_bytes("\n".join(dict.fromkeys(mine)).encode(), destination / MARKER)
        for name in [last, *replaced]:
            (destination / name).unlink(missing_ok=True)
        for file in ordered:
            put(file, destination / file.name)
        (destination / MARKER).unlink()
        _flush_folder(destination)
    except OSError as error:
        raise from_os_error(error, "Writing the results", writing=True, place=destination) from None


def put(source: Path, target: Path) -> None:
    """Copy a file so that it appears whole, and stays.

    Raises:
        OSError: Where it can't be read or written.
    """
    partial = target.with_name(f"{PARTIAL}{target.name}")
    try:
        with source.open("rb") as read, partial.open("wb") as write:
            shutil.copyfileobj(read, write, 1 << 20)
            write.flush()
            os.fsync(write.fileno())
        partial.replace(target)
    except BaseException:  # a signal too: nothing half-written stays
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def put_bytes(content: bytes, target: Path) -> None:
    """Write a file so that it appears whole, in place of one that is there.

    Raises:
        OSError: Where it can't be written.
    """
    partial = target.with_name(f"{PARTIAL}{os.getpid()}-{target.name}")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        raise


def _flush_folder(folder: Path) -> None:
    """Make the names durable too; they are the folder's content."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
