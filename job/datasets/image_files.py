"""The image files of a split -> rows, decoded by several threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from job.datasets.images import ImageDecoding, decode_image, in_order, is_16_bit
from job.errors import InputError, from_os_error
from job.rows.lazy import Array, Indices, Rows
from job.rows.store import Store

# Small images are decoded in groups of at most so many, and so many bytes of pixels.
_GROUP_FILES, _GROUP_BYTES = 32, 1 << 22
# Of 16 bits and four channels, not compressed.
_MOST_BYTES_OF_PIXEL = 8
# So many errors are listed.
_SHOWN = 20
# What a file may have beside its pixels.
_MOST_OTHER_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class ImageFile:
    """An image of a split; there may be a million."""

    name: str
    """Below the data set's folder."""
    place: str
    """Its path."""

    @property
    def path(self) -> Path:
        """The same."""
        return Path(self.place)


@dataclass(frozen=True)
class RowFormat:
    """What the rows of images look like."""

    how: ImageDecoding
    size: tuple[int | None, int | None] = (None, None)
    """Height and width that images must have if they are not resized; None: all the same."""
    size_of: str = "the model"
    """What has this size."""
    has_channels: bool = True
    """False: rows are (height, width)."""

    def row(self, pixels: Array) -> Array:
        """Pixels (height, width, channels) as a row."""
        return pixels if self.has_channels else pixels[..., 0]


@dataclass
class BadImages:
    """The images that can't be decoded, of all splits."""

    most: int
    """So many are left out."""
    errors: list[InputError] = field(default_factory=list)

    def add(self, error: InputError) -> None:
        """Leave an image out.

        Raises:
            InputError: Where it is one too many.
        """
        self.errors.append(error)
        if len(self.errors) <= self.most:
            return
        if not self.most:
            hint = f"{error.hint} dataset.skip_bad leaves out so many images."
            raise InputError(error.what, where=error.where, hint=hint)
        first = "\n".join(f"{it.where}: {it.what}" for it in self.errors[:_SHOWN])
        most = "1 image" if self.most == 1 else f"{self.most:,} images"
        raise InputError(
            f"More than {most} can't be decoded. The first are:\n{first}",
            where=error.where,
            hint="Repair them, or raise dataset.skip_bad.",
        )


@dataclass(frozen=True)
class ReadImages:
    """The rows of a split."""

    first: ImageFile
    """The first one that was decoded."""
    rows: Rows
    """(rows, height, width, channels), or without channels; uint8 or float32."""
    good: list[int]
    """The files they are from, by their place in the list."""
    deep: int
    """How many were of 16 bits per channel."""


def read_images(
    which: str,
    files: Sequence[ImageFile],
    form: RowFormat,
    bad: BadImages,
    store: Store,
    threads: int,
) -> ReadImages:
    """Decode every image once, in the files' order.

    Args:
        which: The split.
        files: At least one.
        form: What rows look like.
        bad: Takes those that can't be decoded.
        store: Where rows are put; what has no room is decoded again when it is asked for.
        threads: How many decode at once.

    Raises:
        InputError: Where too many can't be decoded, none can, or sizes differ.
    """
    start, shape = _first_shape(which, files, form, bad)
    first = files[start]
    good: list[int] = []

    def decode_again(rows: Indices) -> Array:
        chosen = [files[good[row]] for row in rows]
        found = np.empty((len(rows), *shape), form.how.dtype)
        groups = _groups(chosen, found.nbytes // max(1, len(rows)))
        place = 0
        for group in in_order(lambda some: [_row(it, form)[0] for it in some], groups, threads):
            for row in group:
                if row.shape != shape:
                    raise _mixed_sizes(first, shape, chosen[place], row.shape)
                found[place], place = row, place + 1
        return found

    writer = store.writer(f"The images of the {which} split", shape, form.how.dtype, decode_again)
    row_bytes = int(np.prod(shape)) * form.how.dtype.itemsize
    index, deep = start, 0
    for group in in_order(
        lambda some: [_attempt(it, form) for it in some], _groups(files[start:], row_bytes), threads
    ):
        rows = []
        for found in group:
            if isinstance(found, InputError):
                bad.add(found)
            else:
                row, is_deep = found
                if row.shape != shape:
                    raise _mixed_sizes(first, shape, files[index], row.shape)
                rows.append(row)
                good.append(index)
                deep += is_deep
            index += 1
        if rows:
            writer.append(np.stack(rows))
    return ReadImages(first, writer.finish(), good, deep)


def _first_shape(
    which: str, files: Sequence[ImageFile], form: RowFormat, bad: BadImages
) -> tuple[int, tuple[int, ...]]:
    """The place of the first image that can be decoded, and its row's shape."""
    for place, file in enumerate(files):
        found = _attempt(file, form)
        if isinstance(found, InputError):
            bad.add(found)
            continue
        shape = found[0].shape
        if form.how.image_size is None:
            _check_size(file, shape, form)
        return place, shape
    raise InputError(
        f"None of the {len(files):,} images of the {which} split can be decoded.",
        where=bad.errors[-1].where,
        hint=f"The last one's error: {bad.errors[-1].what}",
    )


def _check_size(file: ImageFile, shape: tuple[int, ...], form: RowFormat) -> None:
    if any(
        want is not None and want != have for want, have in zip(form.size, shape[:2], strict=True)
    ):
        wanted = " x ".join("any" if size is None else str(size) for size in form.size)
        raise InputError(
            f"The image {file.name} is of {_size(shape)} pixels (height x width); "
            f"{form.size_of} is {wanted}.",
            where=str(file.path),
            hint="Set dataset.image_size to resize all images to one size.",
        )


def _mixed_sizes(
    first: ImageFile, shape: tuple[int, ...], other: ImageFile, found: tuple[int, ...]
) -> InputError:
    return InputError(
        f"Images differ in size: {first.name} is of {_size(shape)} pixels (height x width), "
        f"{other.name} of {_size(found)}.",
        where=str(other.path),
        hint="Set dataset.image_size to resize all images to one size.",
    )


def _size(shape: tuple[int, ...]) -> str:
    return f"{shape[0]} x {shape[1]}"


def _groups(files: Sequence[ImageFile], row_bytes: int) -> Iterator[list[ImageFile]]:
    most = max(1, min(_GROUP_FILES, _GROUP_BYTES // max(1, row_bytes)))
    rest = iter(files)
    while group := list(islice(rest, most)):
        yield group


def _attempt(file: ImageFile, form: RowFormat) -> tuple[Array, bool] | InputError:
    """As ``_row``; an error of decoding is returned, one of reading the file is raised."""
    try:
        content = _read(file, form)
    except OSError as error:
        raise from_os_error(error, "Reading an image", writing=False, place=file.path) from None
    if isinstance(content, InputError):
        return content
    try:
        return form.row(decode_image(content, form.how, str(file.path))), is_16_bit(content)
    except InputError as error:
        return error


def _row(file: ImageFile, form: RowFormat) -> tuple[Array, bool]:
    """An image's row, and whether it is of 16 bits per channel."""
    found = _attempt(file, form)
    if isinstance(found, InputError):
        raise found
    return found


def _read(file: ImageFile, form: RowFormat) -> bytes | InputError:
    """An image file, unless it is too large to be an image that is decoded."""
    most = form.how.max_pixels * _MOST_BYTES_OF_PIXEL + _MOST_OTHER_BYTES
    with file.path.open("rb") as opened:
        content = opened.read(most + 1)
    if len(content) <= most:
        return content
    return InputError(
        f"The file has more bytes than an image of max_pixels takes: {most:,}.",
        where=str(file.path),
        hint="Store a smaller image, or raise dataset.max_pixels if you trust this one.",
    )
