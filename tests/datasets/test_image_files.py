"""Image files become rows by several threads, in their order and in bounded memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from job.datasets.image_files import BadImages, ImageFile, RowFormat, read_images
from job.datasets.images import ImageDecoding
from job.errors import InputError
from job.rows.lazy import LazyRows
from job.rows.store import Store
from tests.support.pictures import digits, encoded

GRAY = RowFormat(ImageDecoding("grayscale"), has_channels=False)


def write(folder: Path, rows: int) -> list[ImageFile]:
    files = []
    for row in range(rows):
        path = folder / f"{row:04}.png"
        path.write_bytes(encoded(digits()[0][row], "PNG"))
        files.append(ImageFile(path.name, str(path)))
    return files


@pytest.mark.parametrize("threads", [1, 2])
def test_bad_images_at_both_ends_and_between_do_not_shift_others(
    threads: int, tmp_path: Path
) -> None:
    """Also where rows are decoded again by their index."""
    files = write(tmp_path, 90)
    lost = [0, 1, 40, 89]
    for row in lost:
        files[row].path.write_bytes(b"GIF89a")
    bad = BadImages(4)
    found = read_images("train", files, GRAY, bad, Store(tmp_path, 0, 40_000), threads)
    assert found.good == [row for row in range(90) if row not in lost]
    assert found.first == files[2]
    assert [Path(error.where).name for error in bad.errors] == [files[row].name for row in lost]
    assert isinstance(found.rows, LazyRows)
    np.testing.assert_array_equal(found.rows[:], digits()[0][found.good])


def test_the_first_bad_image_ends_it_where_none_may_be_left_out(tmp_path: Path) -> None:
    """Later ones are not read."""
    files = [ImageFile(f"{row}.png", str(tmp_path / f"{row}.png")) for row in range(1000)]
    files[0].path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_images("train", files, GRAY, BadImages(0), Store(tmp_path, 0, 0), 2)
    assert caught.value.where == str(files[0].path)


def test_a_file_that_can_not_be_read_is_not_counted_as_bad(tmp_path: Path) -> None:
    """It is another trouble."""
    files = write(tmp_path, 3)
    files[1].path.unlink()
    with pytest.raises(InputError) as caught:
        read_images("train", files, GRAY, BadImages(3), Store(tmp_path, 1 << 20, 0), 1)
    assert "no such file" in caught.value.what
    assert caught.value.where == str(files[1].path)


def test_a_file_of_far_more_bytes_than_pixels_is_not_read(tmp_path: Path) -> None:
    """It is sparse here, of 1 TB."""
    files = write(tmp_path, 1)
    with files[0].path.open("r+b") as file:
        file.truncate(1 << 40)
    form = RowFormat(ImageDecoding("grayscale", max_pixels=1000))
    with pytest.raises(InputError) as caught:
        read_images("train", files, form, BadImages(0), Store(tmp_path, 1 << 20, 0), 1)
    assert "16,785,216" in caught.value.what
    assert caught.value.where == str(files[0].path)


def test_many_bad_images_are_listed_up_to_twenty(tmp_path: Path) -> None:
    """One more than may be left out is an error."""
    files = write(tmp_path, 40)
    for file in files[5:]:
        file.path.write_bytes(b"")
    with pytest.raises(InputError) as caught:
        read_images("train", files, GRAY, BadImages(30), Store(tmp_path, 1 << 20, 0), 2)
    assert "More than 30 images" in caught.value.what
    assert files[5].name in caught.value.what
    assert files[24].name in caught.value.what
    assert files[25].name not in caught.value.what


def test_a_small_part_is_not_put_in_the_place_of_a_large_one(tmp_path: Path) -> None:
    """The last part of some rows has room on the scratch disk where the one before has none."""
    rows = np.arange(90, dtype=np.int64)
    store = Store(tmp_path, memory_bytes=8 * 80, cache_bytes=8 * 45)
    writer = store.writer("Rows", (), rows.dtype, lambda chosen: rows[chosen])
    for part in (rows[:40], rows[40:78], rows[78:80], rows[80:]):
        writer.append(part)
    np.testing.assert_array_equal(writer.finish()[:], rows)
