"""A file that is not an .npz archive is recognized by its bytes, and then by its name."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

from job.datasets.foreign_files import refuse_other_folders, refuse_other_kinds, warning_of
from job.errors import InputError

BYTES = {
    "a.csv": (b"x,y\n1,2\n", "a text table (CSV)"),
    "b": (b"1;2\n3;4\n", "a text table (CSV)"),
    "c.csv": ("größe\n1\n".encode() * 2000, "a text table (CSV)"),
    "d.json": (b'{"x": 1}', "JSON"),
    "e.parquet": (b"PAR1....PAR1", "a Parquet table"),
    "f.png": (b"\x89PNG\r\n\x1a\n", "an image"),
    "g.jpg": (b"\xff\xd8\xff\xe0", "an image"),
    "h.pkl": (pickle.dumps([1]), "a Python pickle, which can run code"),
    "i.tfrecord": (b"\x18\0\0\0\0\0\0\0\xa3\x7f\x4b\x22", "TFRecords"),
    "j.npz": (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    "k.csv.gz": (b"\x1f\x8b\x08", "a gzip file"),
    "l-ubyte": (b"\0\0\x08\x03\0\0", "an IDX file"),
    "m.npz": (b"", "empty"),
    "n.npz": (b"PK\x03\x04...", "truncated"),
    "o.tflite": (b"\x1c\0\0\0TFL3", "a .tflite model"),
    "p.npz": (b"\xff\xfe\x01", "no .npz archive."),
    "q.txt": (b"hello", "text"),
}
IN_ZIP = {
    "images": (["a/1.png"], "a zip archive without arrays"),
    "workbook": (["xl/workbook.xml"], "an Excel workbook"),
    "model": (["config.json", "model.weights.h5"], "a Keras model"),
    "torch": (["archive/data.pkl"], "a file of PyTorch's"),
}
# What is said of files that another type of data set reads, and that type.
TYPES = {
    "it is a text table (CSV).": "csv",
    "it is a Parquet table.": "parquet",
    "it is an image.": "image_folder",
    "it is TFRecords:": "tfrecord",
    "it is one NumPy array": "npy",
    "it is text.": "text",
}


def refused(path: Path) -> str:
    """The message for a file; its hint is the type that reads it, or how to make an archive."""
    with pytest.raises(InputError) as caught:
        refuse_other_kinds([path])
    assert caught.value.where == str(path)
    types = [kind for said, kind in TYPES.items() if said in caught.value.what]
    says = [f'Set "type": "{kind}" in dataset' for kind in types] or ["numpy.savez_compressed"]
    assert [it for it in says if it in caught.value.hint] == says
    return caught.value.what


@pytest.mark.parametrize("name", BYTES)
def test_a_file_is_recognized_by_its_bytes(name: str, tmp_path: Path) -> None:
    """Its name is used where they do not tell."""
    content, said = BYTES[name]
    (tmp_path / name).write_bytes(content)
    what = refused(tmp_path / name)
    assert what.startswith("The data set is no .npz archive")
    assert said in what


@pytest.mark.parametrize("name", IN_ZIP)
def test_an_archive_is_recognized_by_its_members(name: str, tmp_path: Path) -> None:
    """Nothing is unpacked."""
    members, said = IN_ZIP[name]
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        for member in members:
            archive.writestr(member, b"")
    assert said in refused(tmp_path / "a.npz")


def test_arrays_are_accepted_under_any_file_name(tmp_path: Path) -> None:
    """A name proves nothing; damage inside is reported by the reader."""
    for name in ("a.npz", "a.csv", "a"):
        with (tmp_path / name).open("wb") as file:
            np.savez(file, x_train=np.zeros(3))
    refuse_other_kinds(tmp_path.iterdir())
    np.save(tmp_path / "a.npy", np.zeros(3))
    assert "one NumPy array" in refused(tmp_path / "a.npy")


def test_a_folder_of_images_is_recognized(tmp_path: Path) -> None:
    """Not one with an archive, nor an empty one: the reader reports that."""
    refuse_other_folders(tmp_path)
    for number in range(3):
        (tmp_path / f"class{number}").mkdir()
        (tmp_path / f"class{number}" / "1.PNG").write_bytes(b"")
    with pytest.raises(InputError, match=r"it has 3 \.png files") as caught:
        refuse_other_folders(tmp_path)
    assert 'Set "type": "image_folder"' in caught.value.hint
    (tmp_path / "d.npz").write_bytes(b"")
    refuse_other_folders(tmp_path)


def test_validate_uses_only_the_name() -> None:
    """It reads only the manifest."""
    assert "a text table (CSV)" in warning_of("s3://bucket/data.CSV")
    for uri in (
        "data.npz",
        "data/*.npz",
        "s3://bucket/data",
        "data.zip",
        "https://h/d.npz?v=1.csv",
    ):
        assert warning_of(uri) == ""
