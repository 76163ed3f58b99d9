"""The local disk: inputs are read where they are, results appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path

from job.errors import InputError, from_os_error, is_disk_full
from job.result.artifact import file_digest
from job.storage.backend import OCTETS, Advance, Downloaded, Item, Upload
from job.storage.checksums import CHUNK
from job.storage.place import Place

# Files that are not whole yet are named so.
PARTIAL = ".paredown-partial-"
# Stands at the destination while files are put there.
MARKER = ".paredown-publishing"
WRITING = "Writing the results"


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
    """A temporary folder with the empty folder ``output`` in it, deleted when the run is over.

    Where TMPDIR can't be used, Python silently takes another folder: it may be one in memory, or a
    small disk.

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


class Local:
    """The disk as a backend; see ``backend.py``. Metadata and media types are not stored."""

    is_locked = True

    def stat(self, place: Place, doing: str) -> Item | None:
        """The whole file is read."""
        with _translated(doing):
            is_file = place.local.exists() and not place.local.is_dir()
        if not is_file:
            return None
        size, sha256 = measure(place.local, doing)
        return Item(place.name, place, size, None, sha256)

    def listing(
        self, folder: Place, doing: str, *, pattern: str = "**", first: str = "", last: str = ""
    ) -> Iterator[Item]:
        """No deeper than the pattern goes; ``**`` follows no links to folders."""
        top = folder.local
        is_deep = "**" in pattern.split("/")

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError):
                raise error  # fewer files would be found than there are

        with _translated(doing, place=top):
            for above, folders, names in os.walk(top, onerror=refuse, followlinks=not is_deep):
                depth = len(Path(above).relative_to(top).parts)
                if depth == 0 and first:
                    folders[:] = [name for name in folders if first <= f"{name}/" <= last]
                    names.clear()
                if not is_deep and depth == pattern.count("/"):
                    folders.clear()
                folders.sort()
                for name in sorted(names):
                    path = Path(above, name)
                    size = path.stat().st_size if path.exists() else 0
                    yield Item(path.relative_to(top).as_posix(), Place("file", str(path)), size)

    def read(self, place: Place, limit: int, doing: str) -> bytes | None:
        """A pipe is refused: it would be waited for."""
        path = place.local
        with _translated(doing):
            if path.exists() and not path.is_file():
                raise OSError(errno.EINVAL, "this is no file", str(path))
            try:
                with path.open("rb") as file:
                    content = file.read(limit + 1)
            except (FileNotFoundError, NotADirectoryError):
                return None
        if len(content) > limit:
            raise InputError(f"{doing} failed: it has more than {limit:,} bytes.", where=str(path))
        return content

    def download(self, targets: Mapping[Item, Path], advance: Advance) -> list[Downloaded]:
        """Files are copied: a link would change when the file does."""
        done = []
        for item, target in targets.items():
            with _translated("Copying", writing=True):
                shutil.copyfile(item.place.local, target)
            size, sha256 = measure(target, "Copying")
            advance(size)
            done.append(Downloaded(size, sha256, ""))
        return done

    @contextlib.contextmanager
    def claim(self, folder: Place, wait: Callable[[], None]) -> Iterator[None]:
        """The folder is made and locked."""
        try:
            folder.local.mkdir(parents=True, exist_ok=True)
            handle = os.open(folder.local, os.O_RDONLY | os.O_DIRECTORY)
        except (FileExistsError, NotADirectoryError):
            raise InputError(
                "The destination is no folder: a file is in the way.",
                where=str(folder),
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

    def has(self, place: Place, size: int, sha256: str) -> bool:
        """The file is read."""
        is_file = place.local.is_file()
        return is_file and measure(place.local, "Checking the results") == (size, sha256)

    def write(
        self, place: Place, content: bytes, metadata: Mapping[str, str], media_type: str = OCTETS
    ) -> None:
        """It appears whole."""
        doing = _translated(WRITING, writing=True, place=place.local.parent)
        with doing, _partial(place.local) as partial:
            partial.write_bytes(content)
            _flush(partial)
            partial.replace(place.local)

    def create(
        self,
        place: Place,
        content: bytes,
        metadata: Mapping[str, str],
        media_type: str = OCTETS,
        replaces: str | None = None,
    ) -> str | None:
        """It appears whole."""
        with _translated(WRITING, writing=True), _partial(place.local) as partial:
            partial.write_bytes(content)
            try:
                place.local.hardlink_to(partial)
            except FileExistsError:
                return None
        return ""

    def upload(self, upload: Upload, advance: Advance) -> None:
        """It appears whole, and flushed to the disk."""
        target = upload.place.local
        doing = _translated(WRITING, writing=True, place=target.parent)
        with doing, _partial(target) as partial:
            with upload.path.open("rb") as read, partial.open("wb") as write:
                shutil.copyfileobj(read, write, CHUNK)
            _flush(partial)
            partial.replace(target)
        advance(upload.bytes)

    def delete(self, place: Place) -> None:
        """The file only; its folder stays."""
        absent = (FileNotFoundError, NotADirectoryError)
        with _translated(WRITING, writing=True), contextlib.suppress(*absent):
            place.local.unlink()

    def foreign(self, folder: Place, names: Collection[str]) -> list[str]:
        """Of those that are there, all but what a killed run was about to write or delete."""
        with _preparing(folder):
            begun = _begun(folder.local)
            there = [name for name in names if os.path.lexists(folder.local / name)]
        return [name for name in there if name not in begun]

    def prepare(self, folder: Place, begun: Place, run_id: str) -> None:
        """Half-written files of killed runs are deleted."""
        probe = folder.local / f"{PARTIAL}probe"
        with _preparing(folder):
            for left_over in folder.local.glob(f"{PARTIAL}*"):
                left_over.unlink(missing_ok=True)
            try:
                probe.write_bytes(b"paredown")
            finally:
                probe.unlink(missing_ok=True)

    @contextlib.contextmanager
    def publishing(self, folder: Place, names: Collection[str]) -> Iterator[None]:
        """A marker says meanwhile which files there are a run's."""
        marker = folder.child(MARKER)
        with _translated(WRITING, writing=True):
            begun = _begun(folder.local)
        self.write(marker, "\n".join(dict.fromkeys([*names, *begun])).encode(), {})
        yield
        with _translated(WRITING, writing=True):
            for name in begun.difference(names):  # of a killed run, and of no result
                (folder.local / name).unlink(missing_ok=True)
            marker.local.unlink()
            _flush(folder.local)  # the names, too: they are the folder's content

    def clear(self, folder: Place, below: Place) -> None:
        """Errors are ignored: the results are there, and that is what was asked for."""
        shutil.rmtree(below.local, ignore_errors=True)


def _begun(folder: Path) -> set[str]:
    """The files that a killed run was about to write or delete."""
    try:
        return set((folder / MARKER).read_text(encoding="utf-8").splitlines())
    except (FileNotFoundError, UnicodeDecodeError):
        return set()


@contextlib.contextmanager
def _partial(target: Path) -> Iterator[Path]:
    """A new file that is not whole yet; afterwards nothing of its name is left. Nobody can have
    put a link of that name there.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{PARTIAL}{secrets.token_hex(8)}")
    try:
        partial.touch(exist_ok=False)
        yield partial
    finally:  # after a signal, too
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def _flush(path: Path) -> None:
    """Make a file's content durable, or a folder's names."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def _translated(doing: str, *, writing: bool = False, place: object = "") -> Iterator[None]:
    """Turn an OSError into an error of this program."""
    try:
        yield
    except OSError as error:
        raise from_os_error(error, doing, writing=writing, place=place) from None


def _preparing(folder: Place) -> contextlib.AbstractContextManager[None]:
    return _translated("Preparing the destination", writing=True, place=folder)
