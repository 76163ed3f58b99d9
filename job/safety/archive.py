"""Archives (zip, tar) and folders that hold a model: validated before anything is unpacked.

Refused are entries that would be written elsewhere (absolute paths, ``..``, links, devices), zip
bombs, and duplicate names. A folder is packed as a reproducible tar: the same contents give the
same bytes.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, cast

from job.errors import InputError
from job.safety.limits import MAX_GRAPH_BYTES, most_bytes

SAVE_AGAIN = "Load the model where it was trained, and save it again."
COPY_AGAIN = "Copy it again, and pin its sha256 in the manifest."
# No model has more files; an archive with millions of entries only costs time.
MAX_ENTRIES = 10_000
# Tar headers that precede a file and hold a name that is too long for the plain header.
HEADERS = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
MAX_HEADER_BYTES = 1 << 16
GRAPH = "saved_model.pb"


def corrupt(what: str, where: str) -> InputError:
    """The error for a model file whose content is not what Keras writes."""
    return InputError(f"The model file is corrupt: {what}.", where=where, hint=SAVE_AGAIN)


@dataclass(frozen=True)
class Archive:
    """An archive or a folder whose entries were validated."""

    path: Path
    where: str
    """The file's name in messages."""
    sizes: dict[str, int]
    """The files in it: name, with slashes, to bytes."""

    def read(self, name: str) -> bytes:
        """The content of a small file.

        Raises:
            InputError: If it is missing, damaged, or too large for a model's description.
        """
        if name not in self.sizes:
            raise InputError(f"The model has no {name} in it.", where=self.where, hint=SAVE_AGAIN)
        if self.sizes[name] > MAX_GRAPH_BYTES:
            raise InputError(
                f"{name} has {self.sizes[name]:,} bytes, too many for a model's description.",
                where=self.where,
                hint=SAVE_AGAIN,
            )
        with _reporting_damage(self.where), _opened(self.path, name) as file:
            return file.read()

    def unpack(self, name: str, folder: Path) -> Path:
        """Extract a file into a folder, under its own name.

        Raises:
            InputError: If it is damaged.
        """
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with (
            _reporting_damage(self.where),
            _opened(self.path, name) as file,
            target.open("wb") as unpacked,
        ):
            shutil.copyfileobj(file, unpacked, 1 << 20)
        return target


@dataclass(frozen=True)
class _Entry:
    name: str
    bytes: int
    is_file: bool = True
    obstacle: str = ""
    """Why it is refused, as the end of a sentence."""


class _Member(tarfile.TarInfo):
    """A tar header whose size is limited."""

    def _proc_member(self, tape: tarfile.TarFile) -> tarfile.TarInfo:
        """Called by tarfile for each header; it reads headers of names and attributes whole."""
        if self.type in HEADERS and self.size > MAX_HEADER_BYTES:
            raise tarfile.ReadError(f"a header of type {self.type!r} and {self.size:,} bytes")
        return super()._proc_member(tape)  # type: ignore[misc,no-any-return]  # it has no types


def is_archive(path: Path) -> bool:
    """Whether it is a zip or tar archive, or a folder."""
    if path.is_dir() or zipfile.is_zipfile(path):
        return True
    try:
        with tarfile.open(path, tarinfo=_Member):
            return True
    except (tarfile.TarError, OSError, EOFError):
        return False


def judge_entries(path: Path, where: str) -> Archive:
    """Validate the directory of an archive or a folder.

    Raises:
        InputError: If it is damaged, or an entry is dangerous.
    """
    limit = None if path.is_dir() else most_bytes(path.stat().st_size)
    sizes: dict[str, int] = {}
    declared = 0
    with _reporting_damage(where):
        # One at a time: a tar bomb is found before the entry that its header declares is unpacked.
        for entry in _entries(path):
            declared += entry.bytes
            obstacle = entry.obstacle or _obstacle(entry.name)
            if entry.name in sizes:
                obstacle = "is there twice"
            elif limit is not None and declared > limit:
                obstacle = f"unpacks the file of {path.stat().st_size:,} bytes to {declared:,}"
            elif len(sizes) >= MAX_ENTRIES:
                obstacle = f"comes after {MAX_ENTRIES:,} others"
            if obstacle:
                raise InputError(
                    f"An entry of the archive {obstacle}.",
                    where=f"{where}, {entry.name}",
                    hint=SAVE_AGAIN,
                )
            if entry.is_file:
                sizes[entry.name] = entry.bytes
    return Archive(path, where, sizes)


class _Digest(io.RawIOBase):
    """Computes the size and the SHA-256 of what is written to it."""

    def __init__(self) -> None:
        self.sha256 = hashlib.sha256()
        self.bytes = 0

    def write(self, content: Any) -> int:
        self.sha256.update(content)
        self.bytes += len(content)
        return len(content)

    def tell(self) -> int:
        return self.bytes


def measure(folder: Path, where: str) -> tuple[int, str]:
    """Bytes and SHA-256 (hexadecimal) of the tar that ``pack`` writes.

    Raises:
        InputError: If the folder holds no SavedModel, or a link.
        OSError: If a file can't be read.
    """
    if not (folder / GRAPH).is_file():
        raise InputError(
            f"The folder is no SavedModel: there is no {GRAPH} in it.",
            where=where,
            hint="Name a model file, or the folder that model.save(..., save_format='tf') wrote.",
        )
    digest = _Digest()
    pack(folder, cast(IO[bytes], digest), where)
    return digest.bytes, digest.sha256.hexdigest()


def pack(folder: Path, file: IO[bytes], where: str) -> None:
    """Write a folder's files into a tar, sorted by name, without times and owners.

    Raises:
        InputError: If there is a link in it.
        OSError: If a file can't be read or written.
    """
    archive = judge_entries(folder, where)
    with tarfile.TarFile(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tape:
        for name, size in sorted(archive.sizes.items()):
            member = tarfile.TarInfo(name)
            member.size = size
            member.mode = 0o644
            with (folder / name).open("rb") as content:
                tape.addfile(member, content)


def _obstacle(name: str) -> str:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    if ".." in parts or (parts and (parts[0].startswith("/") or ":" in parts[0])):
        return "leads out of it"
    if not name.isprintable():
        return "has control characters in its name"
    return ""


def _entries(path: Path) -> Iterator[_Entry]:
    if path.is_dir():
        yield from _entries_of_folder(path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed:
            for item in packed.infolist():
                kind = stat.S_IFMT(item.external_attr >> 16)
                obstacle = ""
                if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                    obstacle = "is a link, or no plain file"
                elif item.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    # zipfile unpacks these without a limit, whatever size the entry declares.
                    obstacle = "is packed in a way that no model is (neither stored nor deflated)"
                yield _Entry(item.filename, item.file_size, not item.is_dir(), obstacle)
    else:
        with tarfile.open(path, tarinfo=_Member) as tape:
            for member in tape:
                odd = not (member.isreg() or member.isdir())
                obstacle = "is a link, or no plain file" if odd else ""
                name = member.name.removeprefix("./")
                yield _Entry(name, member.size, member.isreg(), obstacle)


def _entries_of_folder(folder: Path) -> Iterator[_Entry]:
    for item in sorted(folder.rglob("*")):
        name = item.relative_to(folder).as_posix()
        if item.is_symlink() or not (item.is_file() or item.is_dir()):
            yield _Entry(name, 0, obstacle="is a link, or no plain file")
        elif item.is_file():
            yield _Entry(name, item.stat().st_size)


@contextmanager
def _opened(path: Path, name: str) -> Iterator[IO[bytes]]:
    if path.is_dir():
        with (path / name).open("rb") as file:
            yield file
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as packed, packed.open(name) as file:
            yield file
    else:
        with tarfile.open(path, tarinfo=_Member) as tape:
            member = next(it for it in tape if it.name.removeprefix("./") == name)
            file_in_tape = tape.extractfile(member)
            assert file_in_tape is not None  # it was validated as a regular file
            with file_in_tape as file:
                yield file


@contextmanager
def _reporting_damage(where: str) -> Iterator[None]:
    try:
        yield
    except (InputError, OSError):
        raise
    except Exception as error:  # noqa: BLE001 - zipfile, tarfile, zlib and lzma raise all kinds
        raise corrupt(f"{type(error).__name__}: {error}", where) from None
