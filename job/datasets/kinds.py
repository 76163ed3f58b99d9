"""What a data set's file is, where it is no ``.npz`` archive: by its first bytes, then by its name.

A file is looked at before anything else is done with it: what it is and how to make arrays of it is
then said at once, and not after TensorFlow was imported. Nothing of it is unpacked or unpickled.
"""

from __future__ import annotations

import itertools
import zipfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from job.errors import InputError, from_os_error

LOOK_BYTES = 4096
MOST_NAMES = 10_000


class Kind(NamedTuple):
    """A kind of file."""

    what: str
    """For a sentence: "it is ..."."""
    make: str = ""
    """Python that makes an array ``data`` of it, where a line does."""


KINDS = {
    "csv": Kind(
        "a text table (CSV)",
        "data = numpy.genfromtxt('data.csv', delimiter=',', skip_header=1)",
    ),
    "json": Kind("JSON", "data = numpy.array(json.load(open('data.json')))"),
    "jsonl": Kind("JSON lines", "data = pandas.read_json('data.jsonl', lines=True).to_numpy()"),
    "text": Kind("text"),
    "parquet": Kind("a Parquet table", "data = pandas.read_parquet('data.parquet').to_numpy()"),
    "arrow": Kind("an Arrow or Feather table", "data = pandas.read_feather('f').to_numpy()"),
    "orc": Kind("an ORC table", "data = pandas.read_orc('data.orc').to_numpy()"),
    "avro": Kind("an Avro file"),
    "excel": Kind("an Excel workbook", "data = pandas.read_excel('data.xlsx').to_numpy()"),
    "image": Kind("an image", "data = numpy.stack([numpy.asarray(Image.open(p)) for p in paths])"),
    "sound": Kind("a sound file"),
    "video": Kind("a video"),
    "pickle": Kind("a Python pickle, which can run code and is never loaded here"),
    "npy": Kind("one NumPy array (.npy)", "data = numpy.load('data.npy')"),
    "tfrecord": Kind("TFRecords: examples of tf.train.Example, or of another kind"),
    "hdf5": Kind("an HDF5 file", "data = h5py.File('data.h5')['name'][:]"),
    "mat": Kind("a MATLAB file", "data = scipy.io.loadmat('data.mat')['name']"),
    "idx": Kind("an IDX file, as MNIST comes in"),
    "sqlite": Kind("an SQLite database"),
    "torch": Kind("a file of PyTorch's", "data = torch.load('data.pt').numpy()"),
    "safetensors": Kind("a safetensors file", "data = safetensors.numpy.load_file('f')['name']"),
    "keras": Kind("a Keras model: is it the model.uri?"),
    "tflite": Kind("a .tflite model"),
    "gzip": Kind("a gzip file: unpack it first"),
    "bzip2": Kind("a bzip2 file: unpack it first"),
    "xz": Kind("an xz file: unpack it first"),
    "zstd": Kind("a Zstandard file: unpack it first"),
    "7z": Kind("a 7-Zip archive: unpack it first"),
    "tar": Kind("a tar archive: unpack it first"),
    "zip": Kind("a zip archive without arrays (.npy) in it"),
    "cut": Kind("truncated: it begins as a zip archive, and has no end. Copy it again"),
    "empty": Kind("empty"),
}
MAGIC: tuple[tuple[int, bytes, str], ...] = (
    (0, b"PAR1", "parquet"),
    *((0, it, "arrow") for it in (b"ARROW1", b"FEA1")),
    (0, b"ORC", "orc"),
    (0, b"Obj\x01", "avro"),
    *((0, it, "image") for it in (b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8", b"BM", b"II*\0")),
    *((at, it, "image") for at, it in ((0, b"MM\0*"), (8, b"WEBP"))),
    *((at, it, "sound") for at, it in ((8, b"WAVE"), (0, b"fLaC"), (0, b"ID3"), (0, b"OggS"))),
    *((at, it, "video") for at, it in ((4, b"ftyp"), (8, b"AVI "))),
    *((0, bytes([0x80, it]), "pickle") for it in range(2, 6)),
    (0, b"\x93NUMPY", "npy"),
    (0, b"\x89HDF\r\n\x1a\n", "hdf5"),
    (0, b"MATLAB 5", "mat"),
    *((0, bytes([0, 0, 8, it]), "idx") for it in range(1, 5)),
    (0, b"SQLite format 3", "sqlite"),
    (4, b"TFL3", "tflite"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"BZh", "bzip2"),
    (0, b"\xfd7zXZ", "xz"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"7z\xbc\xaf", "7z"),
    (257, b"ustar", "tar"),
    (8, b'{"', "safetensors"),
)
SUFFIXES = {
    **dict.fromkeys((".csv", ".tsv", ".tab"), "csv"),
    **dict.fromkeys((".jsonl", ".ndjson"), "jsonl"),
    **dict.fromkeys((".parquet", ".pq"), "parquet"),
    **dict.fromkeys((".feather", ".arrow", ".ipc"), "arrow"),
    **dict.fromkeys((".xls", ".xlsx", ".ods"), "excel"),
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp"), "image"),
    **dict.fromkeys((".wav", ".mp3", ".flac", ".ogg"), "sound"),
    **dict.fromkeys((".mp4", ".avi", ".mov", ".mkv"), "video"),
    **dict.fromkeys((".pkl", ".pickle", ".joblib"), "pickle"),
    **dict.fromkeys((".tfrecord", ".tfrecords"), "tfrecord"),
    **dict.fromkeys((".h5", ".hdf5"), "hdf5"),
    **dict.fromkeys((".pt", ".pth"), "torch"),
    **dict.fromkeys((".db", ".sqlite"), "sqlite"),
    ".json": "json",
    ".txt": "text",
    ".orc": "orc",
    ".avro": "avro",
    ".npy": "npy",
    ".mat": "mat",
    ".keras": "keras",
    ".tflite": "tflite",
    ".safetensors": "safetensors",
    ".gz": "gzip",
    ".tgz": "gzip",
    ".bz2": "bzip2",
    ".xz": "xz",
    ".zst": "zstd",
    ".tar": "tar",
}
# What tells what a zip archive holds, where it holds no arrays.
IN_ZIP = (("xl/workbook.xml", "excel"), ("model.weights.h5", "keras"), ("data.pkl", "torch"))
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
    if any(folder.glob("*.npz")):
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
    return f"dataset.uri looks like {it.what}, and a data set is a .npz archive. {_to_do(it)}"


def _to_do(kind: Kind | None) -> str:
    """How to make an archive."""
    make = f"{kind.make}, then split it and " if kind and kind.make else ""
    return f"Make an archive of arrays once, in Python: {make}{SAVE}."


def _kind(path: Path) -> str | None:
    """A key of KINDS; "" where nothing tells; None where it is an archive with arrays."""
    with path.open("rb") as file:
        begins = file.read(LOOK_BYTES)
    if not begins:
        return "empty"
    if zipfile.is_zipfile(path):
        return _in_zip(path)
    if begins.startswith(b"PK\x03\x04"):
        return "cut"
    for at, magic, kind in MAGIC:
        if begins[at:].startswith(magic):
            return kind
    named = SUFFIXES.get(path.suffix.lower())
    return _text(begins, named) or named or ""


def _in_zip(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, ValueError, NotImplementedError):
        return None  # it is damaged, which its reader says
    if not names or any(name.endswith(".npy") for name in names):
        return None
    for mark, kind in IN_ZIP:
        if any(name == mark or name.endswith(f"/{mark}") for name in names):
            return kind
    return "zip"


def _text(begins: bytes, named: str | None) -> str:
    """Which kind of text it is; nothing if it is none."""
    try:
        text = begins.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if (
            error.start == 0 or error.start < len(begins) - 4
        ):  # else only its last character is cut off
            return ""
        text = begins[: error.start].decode("utf-8-sig")
    if any(ord(it) < 32 and it not in "\t\r\n\f" for it in text):
        return ""
    if text.lstrip().startswith(("{", "[")):
        return "jsonl" if named == "jsonl" else "json"
    first = text.strip().partition("\n")[0]
    return "csv" if named == "csv" or any(it in first for it in ",;\t") else "text"
