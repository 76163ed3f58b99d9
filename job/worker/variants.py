"""The quantize variants of a job: tried on the original model, and made of the pruned one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tf_keras
from numpy.typing import NDArray

from job.errors import InputError, StageError
from job.manifest.quantize import PackedConfig, QuantizeConfig
from job.metrics.litert import rounded
from job.models.layers import layers_of, users_name
from job.models.prunable import unmatched
from job.result.artifact import file_digest
from job.rows.data import Dataset, Split, calibration_rows
from job.stages.constraints import constrained, describe
from job.stages.masks import padded_rows
from job.stages.small_file import COMPARED
from job.worker.aware import Trained, on_its_grid
from job.worker.context import Loaded, Work
from job.worker.convert import Conversion, attempt, is_certain, plan
from job.worker.small import VariantFile, make_file, making_of, variant_in
from job.worker.train import Pruned

# Rows that are looked at together.
BATCH = 256


def try_variants(work: Work, loaded: Loaded) -> Conversion:
    """Before anything is trained, so that what can't be converted is known in seconds."""
    model, outputs = loaded.file.model, loaded.baseline.outputs
    rows = loaded.dataset.train.model_inputs(slice(0, 2))
    if not work.job.variants:
        return Conversion(loaded.inputs, outputs, one_row=False)
    with work.journal.stage("try") as stage:
        stage.decide(*refuse_padding(work.job.variants, model, loaded.dataset))
        how = plan(model, loaded.inputs, outputs, rows)
        if is_certain(model):
            stage.decide("the model has only layers that every variant converts")
            return how
        for done, variant in enumerate(work.job.variants.values(), 1):
            attempt(model, how, variant, rows)
            stage.advance(done, len(work.job.variants))
        return how


def make_variants(
    work: Work, loaded: Loaded, pruned: Pruned, how: Conversion, trained: Mapping[str, Trained]
) -> dict[str, VariantFile]:
    """Every variant of the pruned model: name -> file, and how it was made.

    Args:
        work: The job.
        loaded: Its inputs.
        pruned: The pruned model.
        how: How it is converted.
        trained: The weights of the variants that were trained for their grids.
    """
    variants = work.job.variants
    files: dict[str, VariantFile] = {}
    if not variants:
        work.journal.skip("quantize", "quantize asks for no variant")
        return files
    of = file_digest(pruned.path)[1]
    with work.journal.stage("quantize") as stage:
        model = how.prepared(pruned.read.model)
        stage.decide(*how.decided)
        work.journal.warn(*_unmatched_rules(work, pruned.read.model))
        for done, (name, config) in enumerate(variants.items(), 1):
            own = on_its_grid(work, pruned, trained.get(name))
            given = model if own is pruned else how.prepared(own.read.model)
            make = partial(_convert, work, loaded, own, given, name, config)
            files[name] = work.checkpoints.restore_or_make(
                f"quantize {name}", of, variant_in(work.output), make, stage
            )
            stage.decide(*(f"{name}: {text}" for text in files[name].says()))
            work.encoder.add(files[name].path)
            stage.advance(done, len(variants))
    return files


def _unmatched_rules(work: Work, model: tf_keras.Model) -> list[str]:
    """Warnings of rules on widths that fit no layer."""
    kinds = {users_name(path): type(layer).__name__ for path, layer in layers_of(model)}
    return [
        warning
        for index, config in enumerate(work.job.variants.values())
        if isinstance(config, PackedConfig)
        for warning in unmatched(config.rules, kinds, f"quantize.{index}.layers")
    ]


def _convert(
    work: Work,
    loaded: Loaded,
    pruned: Pruned,
    model: tf_keras.Model,
    name: str,
    config: QuantizeConfig,
) -> VariantFile:
    samples = getattr(config, "calibration_samples", 0)
    rows = calibration_rows(len(loaded.dataset.train), samples, work.job.training.seed)
    if len(rows) < samples:
        work.journal.warn(f"{name} is calibrated on all {len(rows)} training rows.")
    if work.job.dataset is None and samples:
        work.journal.warn(
            f"{name} is calibrated on random inputs, as asked: on real ones, whose values have "
            "other ranges, it may be far off. Its figures do not show that."
        )
    path = work.output / f"{name}.tflite"
    calibration = loaded.dataset.train.model_inputs(rows)
    compared = loaded.dataset.test.model_inputs(slice(0, COMPARED))
    making = making_of(pruned.read.model, config, calibration, proves=not work.is_trial)
    return make_file(model, config, compared, path, making)


def refuse_padding(
    variants: Mapping[str, QuantizeConfig], model: Any, dataset: Dataset
) -> list[str]:
    """Refuse variants that ignore the recurrent layers' masks, where a row of any split is padded.

    Args:
        variants: By their names.
        model: The original model.
        dataset: What it is trained, validated, calibrated and measured on.

    Returns:
        What was found, as sentences for the result; nothing where no variant asks.

    Raises:
        InputError: Where any row is padded.
    """
    asking = [name for name, it in variants.items() if getattr(it, "ignore_masks", False)]
    if not asking:
        return []
    of = " and ".join(asking)
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    counts = {
        name: (padded_rows(model, _batches(split)), len(split))
        for name, split in splits.items()
        if split is not None
    }
    if all(padded is None for padded, _ in counts.values()):
        return [f"{of}: ignore_masks changes nothing, no recurrent layer has a mask"]
    found = {name: it for name, it in counts.items() if it[0]}
    if found:
        which = ", ".join(
            f"{padded:,} of {rows:,} {name}" for name, (padded, rows) in found.items()
        )
        raise InputError(
            f"{of} has ignore_masks, which is right where no row is padded; a mask leaves out "
            f"steps of {which} rows.",
            where=f"quantize, {of}",
            hint="Give rows of full length, or leave ignore_masks or the variant out; float32, "
            "float16 and dynamic_range files keep the masks.",
        )
    seen = ", ".join(f"{rows:,} {name}" for name, (_, rows) in counts.items())
    text = (
        f"{of}: the recurrent layers are converted without their masks, which are true for every "
        f"step of all rows ({seen}); the file must not be given padded rows"
    )
    return [text]


def _batches(split: Split) -> Iterator[tuple[NDArray[np.generic], ...]]:
    for start in range(0, len(split), BATCH):
        yield split.model_inputs(slice(start, start + BATCH))


def check_constraints(model: tf_keras.Model, path: Path, *, is_trained: bool = False) -> list[str]:
    """Check each constrained weight of a model in a ``.tflite`` that was made of it.

    Args:
        model: The model that was converted.
        path: The file.
        is_trained: Whether its weights were trained further, on the file's grid.

    Returns:
        A sentence on each, for the result.

    Raises:
        StageError: Where a weight that may not be negative is.
    """
    found = []
    for variable in constrained(model.trainable_variables):
        text = f"{variable.name} {describe(variable.constraint)}"
        if is_trained:
            found.append(f"{text} is not checked: after it, the weight was rounded to its grid")
            continue
        there = rounded(path, variable.numpy())
        if there is None:
            found.append(f"{text} is not checked: the weight is split, or folded into another")
            continue
        distance, least = there
        if type(variable.constraint).__name__ == "NonNeg" and least < 0:
            raise StageError(
                f"The weight {variable.name} is {least:.2g} in the file, and may not be negative.",
                where=path.name,
                hint="Leave this variant out.",
            )
        found.append(f"{text} holds, with weights that are rounded by at most {distance:.1g}")
    return found
