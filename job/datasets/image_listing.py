"""Which images a split has, and their labels as text: from folders, or from a CSV."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from job.datasets.image_files import ImageFile
from job.datasets.label_file import Columns, read_label_file
from job.datasets.source import Source
from job.datasets.text_lines import place
from job.errors import InputError
from job.manifest.data_fields import ImageSplitConfig
from job.text import first_names

SUFFIXES = (".png", ".jpg", ".jpeg", ".gif", ".bmp")


@dataclass(frozen=True)
class Listing:
    """The images of a split, sorted by name."""

    which: str
    files: list[ImageFile]
    """At least one."""
    labels: list[str] | None
    """Of each, as text; None where there are none."""
    is_by_folder: bool
    decisions: tuple[str, ...]
    """What was left out."""
    csv: Path | None = None
    """Where labels are from, if not from folders."""
    lines: tuple[int, ...] = ()
    """Of the CSV, one for each image."""

    def place_of(self, index: int) -> str:
        """What errors of an image's label name: the line of the CSV, or else the image."""
        if self.csv is None:
            return str(self.files[index].path)
        return place(self.csv, self.lines[index])


def list_images(source: Source, split: ImageSplitConfig, which: str, columns: Columns) -> Listing:
    """Find a split's images; none is opened.

    Args:
        source: All files of the data set.
        split: Its folder, and where its labels are.
        which: The split.
        columns: Of a CSV of labels.

    Raises:
        InputError: Where there are none, an image has no class, or a CSV names what is not there.
    """
    prefix = split.prefix
    images, left_out, without = _images(source, prefix, split.labels)
    decisions = []
    if left_out:
        kinds = sorted(left_out.items())
        listed = first_names(f"{count:,} {kind}" for kind, count in kinds)
        decisions.append(f"{which}: files that are no images are left out: {listed}")
    if split.labels not in {None, "folders"}:
        found = read_label_file(source, str(split.labels), prefix, which, columns)
        if unnamed := len(set(images) - set(found)):
            decisions.append(
                f"{which}: images that {split.labels} does not name are left out: {unnamed:,}"
            )
        names = sorted(found)
        return Listing(
            which,
            _files(source, names),
            [found[name].text for name in names],
            False,
            tuple(decisions),
            source.files[str(split.labels)],
            tuple(found[name].line for name in names),
        )
    if not images:
        raise InputError(
            f"The {which} split has no images: none of the data set's files in the folder "
            f"{split.folder} ends with {', '.join(SUFFIXES)}.",
            where=f"dataset.{which}.folder",
            hint="Name the folder below dataset.uri that they are in.",
        )
    if split.labels is None:
        return Listing(which, _files(source, images), None, False, tuple(decisions))
    labels = [_folder(source, name, prefix, which) for name in images]
    if lacking := sorted(without - set(labels)):
        raise InputError(
            f"The {which} split has folders without images: {first_names(lacking)}.",
            where=f"dataset.{which}.folder",
            hint="Each folder is a class. Add its images, or move the folder away.",
        )
    return Listing(which, _files(source, images), labels, True, tuple(decisions))


def _images(
    source: Source, prefix: str, labels: str | None
) -> tuple[list[str], Counter[str], set[str]]:
    """The images of a split, what else is there by kind, and which folders have of the latter."""
    images, left_out, folders = [], Counter[str](), set()
    for name in source.files:
        if not name.startswith(prefix) or name == labels:
            continue
        parts = name[len(prefix) :].split("/")
        suffix = PurePosixPath(parts[-1]).suffix.lower()
        is_hidden = any(part.startswith(".") for part in parts)
        if suffix in SUFFIXES and not is_hidden:
            images.append(name)
            continue
        left_out["hidden" if is_hidden else suffix or "without a suffix"] += 1
        if len(parts) > 1 and not parts[0].startswith("."):
            folders.add(parts[0])
    return sorted(images), left_out, folders


def _files(source: Source, names: Sequence[str]) -> list[ImageFile]:
    return [ImageFile(name, str(source.files[name])) for name in names]


def _folder(source: Source, name: str, prefix: str, which: str) -> str:
    """The class of an image."""
    folder, slash, _ = name[len(prefix) :].partition("/")
    if not slash:
        raise InputError(
            f"The image {name} is in no class's folder.",
            where=str(source.files[name]),
            hint="Put each image into a folder that is called as its class, or set "
            f"dataset.{which}.labels to a CSV of labels, or to null.",
        )
    return folder
