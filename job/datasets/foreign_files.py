"""What a data set's file is, where it is no ``.npz`` archive: by its first bytes, then by its name.

Files are checked before anything else is done with them, so that the error, with how to make an
archive of such a file, does not wait for TensorFlow's import. Nothing is unpacked or unpickled.
"""

from __future__ import annotations

import itertools
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from job.errors import InputError, from_os_error
from job.manifest.datasets import NpzConfig

LOOK_BYTES = 4096
MOST_NAMES = 10_000


@dataclass(frozen=True)
class Kind:
    """What is known of a kind of file."""

    what: str
    """For a sentence: "it is ..."."""
    make: str = ""
    """Python that makes an array ``data`` of it, where a line does."""
    suffixes: tuple[str, ...] = ()
    """In lower case."""
    magic: tuple[tuple[int, bytes], ...] = ()
    """Bytes that such a file has, each with its place in the file."""
    member: str = ""
    """A file that is in it, where it is a zip archive."""
    type: str = ""
    """The type of data set that reads it."""


# The first whose magic a file has is taken, and the first whose member is in a zip archive.
KINDS = {
    "csv": Kind("a text table (CSV)", "", (".csv", ".tsv", ".tab"), type="csv"),
    "json": Kind("JSON", "data = numpy.array(json.load(open('data.json')))", (".json",)),
    "jsonl": Kind(
        "JSON lines",
        "data = pandas.read_json('data.jsonl', lines=True).to_numpy()",
        (".jsonl", ".ndjson"),
    ),
    "text": Kind("text", "", (".txt",), type="text"),
    "parquet": Kind("a Parquet table", "", (".parquet", ".pq"), ((0, b"PAR1"),), type="parquet"),
    "arrow": Kind(
        "an Arrow or Feather table",
        "data = pandas.read_feather('f').to_numpy()",
        (".feather", ".arrow", ".ipc"),
        ((0, b"ARROW1"), (0, b"FEA1")),
    ),
    "orc": Kind(
        "an ORC table",
        "data = pandas.read_orc('data.orc').to_numpy()",
        (".orc",),
        ((0, b"ORC"),),
    ),
    "avro": Kind("an Avro file", "", (".avro",), ((0, b"Obj\x01"),)),
    "excel": Kind(
        "an Excel workbook",
        "data = pandas.read_excel('data.xlsx').to_numpy()",
        (".xls", ".xlsx", ".ods"),
        member="xl/workbook.xml",
    ),
    "image": Kind(
        "an image",
        "",
        (".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"),
        (
            *((0, it) for it in (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0")),
            *((0, b"MM\0*"), (8, b"WEBP")),
        ),
        type="image_folder",
    ),
    "sound": Kind(
        "a sound file",
        "",
        (".wav", ".mp3", ".flac", ".ogg"),
        ((8, b"WAVE"), (0, b"fLaC"), (0, b"ID3"), (0, b"OggS")),
    ),
    "video": Kind("a video", "", (".mp4", ".avi", ".mov", ".mkv"), ((4, b"ftyp"), (8, b"AVI "))),
    "pickle": Kind(
        "a Python pickle, which can run code and is never loaded here",
        "",
        (".pkl", ".pickle", ".joblib"),
        tuple((0, bytes([0x80, it])) for it in range(2, 6)),
    ),
    "npy": Kind("one NumPy array (.npy)", "", (".npy",), ((0, b"\x93NUMPY"),), type="npy"),
    "tfrecord": Kind(
        "TFRecords: examples of tf.train.Example, or of another kind",
        "",
        (".tfrecord", ".tfrecords"),
        type="tfrecord",
    ),
    "hdf5": Kind(
        "an HDF5 file",
        "data = h5py.File('data.h5')['name'][:]",
        (".h5", ".hdf5"),
        ((0, b"\x89HDF\r\n\x1a\n"),),
    ),
    "mat": Kind(
        "a MATLAB file",
        "data = scipy.io.loadmat('data.mat')['name']",
        (".mat",),
        ((0, b"MATLAB 5"),),
    ),
    "idx": Kind(
        "an IDX file, as MNIST comes in",
        magic=tuple((0, bytes([0, 0, 8, it])) for it in range(1, 5)),
    ),
    "sqlite": Kind("an SQLite database", "", (".db", ".sqlite"), ((0, b"SQLite format 3"),)),
    "keras": Kind(
        "a Keras model: is it the model.uri?", "", (".keras",), member="model.weights.h5"
    ),
    "torch": Kind(
        "a file of PyTorch's",
        "data = torch.load('data.pt').numpy()",
        (".pt", ".pth"),
        member="data.pkl",
    ),
    "tflite": Kind("a .tflite model", "", (".tflite",), ((4, b"TFL3"),)),
    "gzip": Kind("a gzip file: unpack it first", "", (".gz", ".tgz"), ((0, b"\x1f\x8b"),)),
    "bzip2": Kind("a bzip2 file: unpack it first", "", (".bz2",), ((0, b"BZh"),)),
    "xz": Kind("an xz file: unpack it first", "", (".xz",), ((0, b"\xfd7zXZ"),)),
    "zstd": Kind("a Zstandard file: unpack it first", "", (".zst",), ((0, b"\x28\xb5\x2f\xfd"),)),
    "7z": Kind("a 7-Zip archive: unpack it first", magic=((0, b"7z\xbc\xaf"),)),
    "tar": Kind("a tar archive: unpack it first", "", (".tar",), ((257, b"ustar"),)),
    "safetensors": Kind(
        "a safetensors file",
        "data = safetensors.numpy.load_file('f')['name']",
        (".safetensors",),
        ((8, b'{"'),),
    ),
    "zip": Kind("a zip archive without arrays (.npy) in it"),
    "cut": Kind("truncated: it begins as a zip archive, and has no end. Copy it again"),
    "empty": Kind("empty"),
}
SUFFIXES = {suffix: kind for kind, it in KINDS.items() for suffix in it.suffixes}
SAVE = "numpy.savez_compressed('data.npz', x_train=..., y_train=..., x_test=..., y_test=...)"


def refuse_other_kinds(paths: Iterable[Path]) -> None:
    """Refuse a file of a data set that is no ``.npz`` archive, and say what it is.

    Raises:
        InputError: With what it is and how to make an archive of it.
    """
    for path in paths:
        try:
            found = _kind(path)
        except OSError as error:
            raise from_os_error(error, "Reading the data set", writing=False, place=path) from None
        if found is not None:
            it = KINDS.get(found)
            what = f": it is {it.what}" if it else ""
            raise InputError(
                f"The data set is no .npz archive{what}.", where=str(path), hint=_to_do(it)
            )


def refuse_other_folders(folder: Path) -> None:
    """Refuse a folder that has files and no ``.npz`` archive among them.

    Raises:
        InputError: With what is most of it.
    """
    if any(folder.glob(NpzConfig.in_folder)):
        return
    files = itertools.islice(folder.rglob("*"), MOST_NAMES)
    count = Counter(it.suffix.lower() for it in files if it.suffix.lower() in SUFFIXES)
    if not count:
        return
    (suffix, number) = count.most_common(1)[0]
    raise InputError(
        f"The data set is a folder without .npz archives in it: it has {number:,} {suffix} files.",
        where=str(folder),
        hint=_to_do(KINDS[SUFFIXES[suffix]]),
    )


def warning_of(uri: str) -> str:
    """What a data set's URI looks like, where its name is not that of an archive; else nothing."""
    path = uri.partition("?")[0]
    found = SUFFIXES.get(Path(path).suffix.lower())
    if found is None:
        return ""
    it = KINDS[found]
    return f"dataset.uri looks like {it.what}, and dataset.type is npz. {_to_do(it)}"


def _to_do(kind: Kind | None) -> str:
    """The type that reads it, or how to make an archive."""
    if kind and kind.type:
        return f'Set "type": "{kind.type}" in dataset; docs/data.md has an example of each type.'
    make = f"{kind.make}, then split it and " if kind and kind.make else ""
    return f"Make an archive of arrays once, in Python: {make}{SAVE}."


def _kind(path: Path) -> str | None:
    """A key of KINDS; "" where it is unknown; None where it is an archive with arrays."""
    with path.open("rb") as file:
        begins = file.read(LOOK_BYTES)
    if not begins:
        return "empty"
    if zipfile.is_zipfile(path):
        return _in_zip(path)
    if begins.startswith(b"PK\x03\x04"):
        return "cut"
    for kind, it in KINDS.items():
        if any(begins[at:].startswith(magic) for at, magic in it.magic):
            return kind
    named = SUFFIXES.get(path.suffix.lower())
    return _text(begins, named) or named or ""


def _in_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None  # it is damaged, which is reported when it is read
    if not names or any(name.endswith(".npy") for name in names):
        return None
    for kind, it in KINDS.items():
        if it.member and any(f"/{name}".endswith(f"/{it.member}") for name in names):
            return kind
    return "zip"


def _text(begins: bytes, named: str | None) -> str:
    """Which kind of text it is; nothing if it is none."""
    try:
        text = begins.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # In the last bytes, it may be a character that is cut off.
        if error.start == 0 or error.start < len(begins) - 4:
            return ""
        text = begins[: error.start].decode("utf-8-sig")
    if any(ord(it) < 32 and it not in "\t\r\n\f" for it in text):
        return ""
    if text.lstrip().startswith(("{", "[")):
        return "jsonl" if named == "jsonl" else "json"
    first = text.strip().partition("\n")[0]
    return "csv" if named == "csv" or any(it in first for it in ",;\t") else "text"
