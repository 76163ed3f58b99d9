"""A data set as the manifest describes it: read by its type, preprocessed, checked, split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from job.datasets.source import Opened, Source, SplitRows
from job.datasets.types import DATASETS
from job.errors import InputError
from job.manifest.datasets import DatasetConfig
from job.manifest.preprocess import PreprocessConfig
from job.rows.data import Dataset, Split, hold_out_test
from job.rows.lazy import LazyRows, Rows
from job.rows.normalization import described, of
from job.rows.preprocess import matched, structured
from job.rows.validation import check_rows
from job.text import first_names

# What is held out to test on, where the manifest does not say.
TEST_SPLIT = 0.2


@dataclass(frozen=True)
class Prepared:
    """A data set whose inputs are preprocessed; rows for validation are not held out yet."""

    dataset: Dataset
    opened: Opened
    decisions: tuple[str, ...]


def open_dataset(source: Source, config: DatasetConfig, seed: int) -> Prepared:
    """Read a data set, and hold out rows to test on where the manifest names none.

    Args:
        source: Its files.
        config: What the manifest says of it.
        seed: Decides which rows are held out, where ``split.seed`` does not.

    Raises:
        InputError: Where a file, or what it has for the model, is refused.
    """
    opened = DATASETS[config.type].open(source, config)
    configs = matched(config.preprocess, source.inputs)
    places = {id(one): index for index, one in enumerate(config.preprocess)}
    normalizations = [
        None if one is None else of(one, spec, f"dataset.preprocess.{places[id(one)]}")
        for one, spec in zip(configs, source.inputs, strict=True)
    ]

    def split(which: str, rows: SplitRows) -> Split:
        if not rows.inputs or not all(len(array) for array in rows.inputs):
            raise InputError(
                f"The {which} split has no rows.", where=source.place, hint="Give it rows."
            )
        _check_counts(which, rows, source)
        found = Split(
            inputs=tuple(
                array
                if one is None
                else structured(
                    _own(array, rows), one, source.store, f"dataset.preprocess.{places[id(one)]}"
                )
                for array, one in zip(rows.inputs, configs, strict=True)
            ),
            targets=rows.targets,
            scale=config.scale,
            dtypes=tuple(spec.dtype for spec in source.inputs),
            weights=rows.weights,
            normalizations=tuple(normalizations) if any(normalizations) else (),
        )
        check_rows(which, found, source.inputs, source.outputs)
        return found

    train = split("train", opened.train)
    given = opened.validation
    validation = None if given is None else split("validation", given)
    if opened.test is not None:
        dataset = Dataset(train, validation, split("test", opened.test))
    else:
        dataset = _with_test_rows(train, config, seed, validation)
    return Prepared(dataset, opened, (*opened.decisions, *_decisions(source, dataset, configs)))


def _own(array: Rows, rows: SplitRows) -> Rows:
    """An input for preprocessing; a copy where the split has the same array elsewhere.

    Preprocessed rows may be computed from it again, in the files' order, and rows of the other one
    are moved in place when some are held out.
    """
    uses = sum(other is array for other in (*rows.inputs, *rows.targets, *rows.weights))
    return array.copy() if uses > 1 and not isinstance(array, LazyRows) else array


def _with_test_rows(
    train: Split, config: DatasetConfig, seed: int, validation: Split | None
) -> Dataset:
    asked = config.split
    found = hold_out_test(
        train,
        config.test_share or TEST_SPLIT,
        seed if asked is None or asked.seed is None else asked.seed,
        where="dataset.split.test" if asked and asked.test else "dataset.test_split",
        stratify=asked is None or asked.stratify,
    )
    return replace(found, validation=validation)


def _check_counts(which: str, rows: SplitRows, source: Source) -> None:
    """Refuse inputs and targets of different numbers of rows, and rows without values."""
    targets = zip(source.outputs, rows.targets, strict=bool(rows.targets))
    arrays: dict[str, Rows] = {
        **{spec.name: array for spec, array in zip(source.inputs, rows.inputs, strict=True)},
        **{f"targets of {spec.name}": array for spec, array in targets},
    }
    for name, array in arrays.items():
        if 0 in array.shape[1:]:  # any number of such rows takes no bytes
            raise InputError(
                f"The {which} split's rows of {name} have the shape {array.shape[1:]}: no values.",
                where=source.place,
                hint=f"Check dataset.{which} in the manifest.",
            )
    counts = {name: len(array) for name, array in arrays.items()}
    if len(set(counts.values())) > 1:
        listed = first_names(f"{name} has {count:,}" for name, count in counts.items())
        raise InputError(
            f"The {which} split has different numbers of rows: {listed}.",
            where=source.place,
            hint=f"Check dataset.{which} in the manifest.",
        )


def _decisions(
    source: Source, dataset: Dataset, configs: Sequence[PreprocessConfig | None]
) -> list[str]:
    """How inputs are preprocessed, and which are read batch by batch."""
    found = [
        f"preprocessed: {described(normalization)}"
        for normalization in dataset.train.normalizations
        if normalization is not None
    ]
    for spec, one, rows in zip(source.inputs, configs, dataset.train.inputs, strict=True):
        if one is not None and (one.shape or one.resize or one.one_hot):
            found.append(f"rows of {spec.name} have the shape {rows.shape[1:]} after preprocess")
    if dataset.train.is_streamed:
        found.append(
            "the training rows are more than dataset.memory_bytes: they are read batch by batch"
        )
    return found
