"""Labels of images as text -> class indices or numbers, the same for all splits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from job.datasets.image_listing import Listing
from job.datasets.text_labels import are_integers, float32_of, not_numbers
from job.errors import InputError
from job.manifest.datasets import ImageFolderConfig
from job.rows.lazy import Array
from job.text import first_names

# What folders of splits are called, in lower case.
SPLIT_NAMES = frozenset(
    {"train", "training", "val", "valid", "validation", "dev", "test", "testing"}
)


@dataclass(frozen=True)
class Labels:
    """The labels of all splits."""

    values: list[Array | None]
    """Of each split, (rows,): int64 or float32; None where it has none."""
    class_names: tuple[str, ...]
    """Empty where labels are not names."""


def encode_labels(listings: Sequence[Listing], config: ImageFolderConfig) -> Labels:
    """Labels as numbers. Folders are class names; labels of a CSV are class indices (int64) where
    all are integers, else float32 where all are numbers, else class names.

    Raises:
        InputError: Where a class is unknown, or has no images to train on; where some labels of a
            CSV are numbers and others are not; where folders are called as splits are.
    """
    labelled = [it for it in listings if it.labels is not None]
    texts = {text for it in labelled for text in it.labels or ()}
    if not texts:
        return Labels([None for _ in listings], ())
    given = config.class_names
    if given is None:
        _refuse_splits(labelled)
    is_named = any(it.is_by_folder for it in labelled) or (
        given is not None and texts <= set(given)
    )
    if not is_named and are_integers(texts):
        if given is not None:
            _check_indices(labelled, len(given))
        return Labels([_numbers(it, np.int64) for it in listings], tuple(given or ()))
    if not is_named and given is None and _are_numbers(labelled, texts):
        return Labels([_numbers(it, np.float32) for it in listings], ())
    names = _class_names(labelled[0], given)
    index = {name: place for place, name in enumerate(names)}
    for it in labelled:
        if unknown := sorted(set(it.labels or ()) - set(index)):
            raise _unknown_class(it, unknown, names)
    values: list[Array | None] = [
        None if it.labels is None else np.array([index[text] for text in it.labels], np.int64)
        for it in listings
    ]
    return Labels(values, names)


def _are_numbers(labelled: Sequence[Listing], texts: set[str]) -> bool:
    """Whether all labels are decimal numbers, which is an error where only some are."""
    others = set(not_numbers(texts))
    if not others or others == texts:
        return not others
    found, index = next(
        (it, index)
        for it in labelled
        for index, text in enumerate(it.labels or ())
        if text in others
    )
    raise InputError(
        f"The label {(found.labels or [])[index]!r} is no number, and others are.",
        where=found.place_of(index),
        hint="Correct it, or list all labels in dataset.class_names if they are names.",
    )


def _refuse_splits(labelled: Sequence[Listing]) -> None:
    """Refuse folders that are all called as splits are, and not as classes."""
    for it in labelled:
        names = sorted(set(it.labels or ()))
        if it.is_by_folder and all(name.lower() in SPLIT_NAMES for name in names):
            raise InputError(
                f"The folders of the {it.which} split are called as splits are, not as classes: "
                f"{first_names(names)}.",
                where=f"dataset.{it.which}.folder",
                hint="Set dataset.train.folder and dataset.test.folder to the splits' folders. If "
                "these are the classes, list them in dataset.class_names.",
            )


def _class_names(first: Listing, given: Sequence[str] | None) -> tuple[str, ...]:
    """As the manifest names them, else those of the first split that has labels, sorted."""
    present = set(first.labels or ())
    if given is None:
        return tuple(sorted(present))
    if len(set(given)) < len(given):
        raise InputError(
            "A class is named twice.", where="dataset.class_names", hint="Name each class once."
        )
    if unknown := sorted(present - set(given)):
        raise _unknown_class(first, unknown, given)
    if lacking := [name for name in given if name not in present]:
        raise InputError(
            f"The {first.which} split has no images of {first_names(lacking)}.",
            where="dataset.class_names",
            hint="Add images of each class that is named, or correct the names.",
        )
    return tuple(given)


def _numbers(listing: Listing, dtype: type[np.int64 | np.float32]) -> Array | None:
    if listing.labels is None:
        return None
    if dtype is np.int64:
        return np.array([int(text) for text in listing.labels], np.int64)
    return float32_of(listing.labels, listing.place_of)


def _check_indices(labelled: Sequence[Listing], classes: int) -> None:
    for it in labelled:
        for index, text in enumerate(it.labels or ()):
            if not 0 <= int(text) < classes:
                raise InputError(
                    f"The label {text} is no index of {classes} class_names.",
                    where=it.place_of(index),
                    hint="Indices count from 0. Correct the label, or dataset.class_names.",
                )


def _unknown_class(listing: Listing, unknown: Sequence[str], known: Sequence[str]) -> InputError:
    labels = listing.labels or []
    return InputError(
        f"The {listing.which} split has images of an unknown class: {first_names(unknown)}.",
        where=listing.place_of(labels.index(unknown[0])),
        hint=f"The classes are: {first_names(known)}. They come from dataset.class_names, "
        "or else from the first split that has labels.",
    )
