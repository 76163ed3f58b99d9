"""Folders of images -> a data set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from job.datasets.image_files import BadImages, RowFormat, read_images
from job.datasets.image_labels import encode_labels
from job.datasets.image_listing import Listing, list_images
from job.datasets.images import ImageDecoding
from job.datasets.label_file import Columns
from job.datasets.source import Opened, Source, SplitRows
from job.errors import InputError
from job.manifest.datasets import ImageFolderConfig
from job.result.specs import TensorSpec
from job.rows.lazy import Array
from job.text import first_names, printable


def open_image_folder(source: Source, config: ImageFolderConfig) -> Opened:
    """Decode all images once.

    Args:
        source: The files: images, and CSVs of labels. ``source.threads`` decode at once.
        config: Where the splits are, and how images are decoded.

    Returns:
        The rows, sorted by the files' names: (rows, height, width, channels), or without channels
        where the model has none; uint8, or float32 where they are resized by other than
        ``nearest``. Targets are (rows,): int64 for classes, else float32.

    Raises:
        InputError: Where an image can't be decoded and is one more than ``skip_bad``, sizes or
            classes don't fit the model, or the model has several inputs or outputs.
    """
    _check_model(source, is_labelled=any(it.has_targets for it in config.splits.values()))
    form, decisions = _row_format(source.inputs[0], config)
    columns = Columns(config.file_column, config.label_column)
    listings = [
        list_images(source, split, which, columns) for which, split in config.splits.items()
    ]
    labels = encode_labels(listings, config)
    _check_classes(labels.class_names, source.outputs, config)
    decisions += [text for listing in listings for text in listing.decisions]
    if labels.class_names:
        names = labels.class_names
        decisions.append(f"{len(names):,} classes, from index 0: {first_names(names)}")
    warnings = _shared(listings) + _lacking(listings, labels.values, labels.class_names)
    bad = BadImages(config.skip_bad)
    splits = {}
    for listing, values in zip(listings, labels.values, strict=True):
        which = listing.which
        read = read_images(which, listing.files, form, bad, source.store, source.threads)
        if form.how.image_size is None:
            # The other splits are of the first one's size.
            height, width = read.rows.shape[1:3]
            form = replace(form, size=(height, width), size_of=read.first.name)
        splits[which] = SplitRows((read.rows,), () if values is None else (values[read.good],))
        if read.deep:
            warnings.append(
                f"{which}: of images with 16 bits per channel (PNG; here {read.deep:,}), the upper "
                "8 are taken, as in Keras"
            )
    warnings += [f"{it.where} is left out: {it.what}" for it in bad.errors]
    return Opened.of(
        splits, map(printable, decisions), map(printable, warnings), labels.class_names
    )


def _check_model(source: Source, *, is_labelled: bool) -> None:
    for kind, specs in (("input", source.inputs), ("output", source.outputs)):
        if len(specs) != 1 and (kind == "input" or is_labelled):
            raise InputError(
                f"The model has {len(specs)} {kind}s: {', '.join(it.name for it in specs)}. "
                "Folders of images are for models of one input and, with labels, one output.",
                where="dataset.type",
                hint="Write the images as arrays (npz, npy) or as records (tfrecord), which can be "
                "mapped to several.",
            )


def _check_classes(
    names: Sequence[str], outputs: Sequence[TensorSpec], config: ImageFolderConfig
) -> None:
    """Refuse more classes than the model's output has values."""
    width = outputs[0].shape[-1] if len(outputs) == 1 and outputs[0].shape else None
    if width is None or width == 1 or len(names) <= width:
        return
    raise InputError(
        f"There are {len(names):,} classes, {first_names(names)}; the model's output "
        f"{outputs[0].name} has {width:,} values.",
        where="dataset.class_names" if config.class_names else "dataset.train.labels",
        hint="Remove what is no class, and list the model's classes in dataset.class_names, in its "
        "order.",
    )


def _row_format(model: TensorSpec, config: ImageFolderConfig) -> tuple[RowFormat, list[str]]:
    """What rows look like for the model's input, and what was decided about it."""
    how = ImageDecoding(
        config.color_mode,
        config.image_size,
        config.interpolation,
        config.apply_exif_orientation,
        config.max_pixels,
    )
    if any(it.shape or it.resize or it.one_hot for it in config.preprocess):
        return RowFormat(how), []
    shape = model.shape
    drops_channels = len(shape) == 2 and how.channels == 1
    if len(shape) != 3 and not drops_channels:
        is_image = len(shape) == 2
        raise InputError(
            f"The model's input {model.name} takes rows of shape {shape}; decoded images are "
            f"(height, width, {how.channels}).",
            where="dataset.color_mode" if is_image else "dataset.type",
            hint="Set color_mode to grayscale for (height, width)."
            if is_image
            else "Choose the type of data that the model takes, or set dataset.preprocess.shape.",
        )
    if len(shape) == 3 and shape[2] not in {None, how.channels}:
        raise InputError(
            f"The model's input {model.name} takes rows of shape {shape}, and images of color_mode "
            f"{config.color_mode} are (height, width, {how.channels}).",
            where="dataset.color_mode",
            hint="Choose grayscale (1 channel), rgb (3) or rgba (4).",
        )
    size = (shape[0], shape[1])
    if how.image_size and any(
        want not in {None, have} for want, have in zip(size, how.image_size, strict=True)
    ):
        raise InputError(
            f"The model's input {model.name} takes rows of shape {shape}, and images are resized "
            f"to {how.image_size[0]} x {how.image_size[1]} (height x width).",
            where="dataset.image_size",
            hint="Set it to the height and width that the model takes.",
        )
    decisions = []
    if drops_channels:
        decisions.append(f"images have no axis of channels, as the input {model.name} has none")
    named = f"the model's input {model.name}"
    return RowFormat(how, size, named, not drops_channels), decisions


def _shared(listings: Sequence[Listing]) -> list[str]:
    """Warnings of images that several splits have."""
    names = {it.which: {file.name for file in it.files} for it in listings}
    return [
        f"images that are in both the {one} and {other} splits: {len(names[one] & names[other]):,}"
        for one, other in combinations(names, 2)
        if names[one] & names[other]
    ]


def _lacking(
    listings: Sequence[Listing], values: Sequence[Array | None], names: Sequence[str]
) -> list[str]:
    """Warnings of classes that a split has no images of."""
    warnings = []
    for listing, indices in zip(listings, values, strict=True):
        if indices is None or not names:
            continue
        present = set(indices.tolist())
        if lacking := [name for place, name in enumerate(names) if place not in present]:
            warnings.append(f"{listing.which}: there are no images of {first_names(lacking)}")
    return warnings
