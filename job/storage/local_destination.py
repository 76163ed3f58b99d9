"""Results in a folder of this machine."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from job.errors import from_os_error
from job.resume import transfer
from job.resume.index import INDEX_FILE
from job.storage import local
from job.storage.destination import RESUME, Publication
from job.storage.place import Place


@dataclass(frozen=True)
class LocalDestination:
    """A folder; see ``destination.py`` for what the methods do."""

    place: Place

    def claimed(self, wait: Callable[[], None]) -> AbstractContextManager[None]:
        """The folder is made, and locked."""
        return local.claimed(self.place.local, wait)

    def read(self, name: str) -> bytes | None:
        """The content of a file."""
        try:
            return (self.place.local / name).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise from_os_error(error, "Reading the destination", writing=False) from None

    def missing(self, files: Mapping[str, tuple[int, str]]) -> list[str]:
        """Every file is read."""

        def is_there(name: str, sha256: str) -> bool:
            path = self.place.local / name
            return path.is_file() and local.measure(path, "Checking the results")[1] == sha256

        return [name for name, (_, sha256) in files.items() if not is_there(name, sha256)]

    def prepare(self, run_id: str, protected: Collection[str]) -> None:  # noqa: ARG002 - the lock tells runs apart
        """Whether writing is allowed is found out by writing."""
        local.prepare(self.place.local, protected)

    def publish(self, it: Publication, advance: Callable[[int], None]) -> bytes:
        """Each file appears whole."""
        local.publish(it.folder, self.place.local, it.last, it.replaced)
        advance(sum((it.folder / name).stat().st_size for name in it.files))
        return (it.folder / it.last).read_bytes()

    def restore(self, run_id: str, folder: Path) -> list[str]:
        """Files are copied: a link would be shared with what is kept later."""
        there = self._kept(run_id)

        def fetch(name: str, target: Path) -> None:
            with _in_words("Reading what an earlier run has kept", there):
                shutil.copyfile(there / name, target)

        return transfer.restore(self.read(f"{RESUME}/{run_id}/{INDEX_FILE}"), folder, fetch)

    def keep(self, run_id: str, folder: Path) -> None:
        """New files first, then the index that names them, then what it names no more goes."""
        there = self._kept(run_id)
        with _in_words("Keeping what is done", there):
            there.mkdir(parents=True, exist_ok=True)
            index, files = transfer.read(folder)
            found = {path.name for path in there.iterdir()}
            for name in sorted(files.keys() - found):
                local.put(folder / name, there / name)
            local.put_bytes(index, there / INDEX_FILE)
            for name in found - files.keys() - {INDEX_FILE}:
                (there / name).unlink(missing_ok=True)

    def forget(self) -> None:
        """The whole folder goes."""
        shutil.rmtree(self.place.local / RESUME, ignore_errors=True)

    def _kept(self, run_id: str) -> Path:
        return self.place.local / RESUME / run_id


@contextlib.contextmanager
def _in_words(doing: str, place: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise from_os_error(
            error, doing, writing=doing.startswith("Keeping"), place=place
        ) from None
