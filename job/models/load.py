"""A model file -> a model that tfmot can prune, and back into a file of the same format.

The contents of the file decide how it is read, never trial and error: its format, and the version
of Keras that wrote it.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import tf_keras

from job.errors import InputError, StageError
from job.models import formats, load_errors, reconfigure
from job.models.budget import refuse_huge_outputs, within_limits
from job.models.compare import REFUSALS, TOLERANCE, difference, rows_of
from job.models.random_inputs import Array
from job.models.random_layers import Effects, refuse_changing
from job.models.reconfigure import free_batch
from job.result.artifact import KerasFormat
from job.safety.judge import Judged, judge, refuse_dangers
from job.text import first_line

T = TypeVar("T")


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read from its file."""

    format: KerasFormat
    keras_version: str
    model: tf_keras.Model
    """The model in Keras 2 and in float32: it is pruned and converted."""
    original: Any
    """The model as it came: it is measured. For a Keras 2 file in float32, ``model``."""
    trusted: bool = False
    """Whether its code may run."""
    notes: tuple[str, ...] = ()
    """The changes that were needed to process it, for the result."""
    effects: Effects = field(default_factory=Effects)
    """The side effects of its inference: whether it is random."""
    warnings: tuple[str, ...] = ()
    """In what it may differ from the model that was saved, by another version of Keras."""

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.keras_version.startswith("3.")


def read(path: Path, *, trust: bool = False) -> ModelFile:
    """Validate a model file, and load it.

    Raises:
        InputError: If it is refused, damaged, or not supported.
    """
    return _load(judge(path), trust=trust)


def load(judged: Judged, *, trust: bool = False) -> ModelFile:
    """Load a validated model that is to be pruned; ``trust`` allows its code to run.

    Raises:
        InputError: If the model could run code, or Keras can't make it, or can't write it back.
    """
    found = _load(judged, trust=trust)
    _refuse_unwritable(found, judged)
    return found


def _load(judged: Judged, *, trust: bool) -> ModelFile:
    if not trust:
        refuse_dangers(judged)
    where = judged.where
    doubts: tuple[str, ...] = ()
    if judged.is_keras3:
        from job.models import keras3, keras3_versions  # a second to import, and rarely needed

        original = _made(lambda: keras3.read(judged, trust=trust), judged)
        keras3_versions.refuse_other_shapes(judged, original)
        doubts = keras3_versions.warnings(judged, original)
        reconfigure.refuse_coarse_weights(original, where)
        original, freed = _with_free_batch(original, judged, trust)
        model = _made(lambda: keras3.rebuild(original, where), judged, is_rebuilding=True)
    else:
        original = _made(lambda: formats.load_keras2(judged, trust=trust), judged)
        _refuse_unknown_inputs(original, where)
        refuse_huge_outputs(original, where)
        reconfigure.refuse_coarse_weights(original, where)
        original, freed = _with_free_batch(original, judged, trust)
        model = reconfigure.in_float32(original)
    effects = _made(lambda: refuse_changing(model, where), judged)
    gone = _retired(judged)
    notes = tuple(filter(None, [freed, gone, _overruled(original, judged)]))
    about = judged.format, judged.keras_version
    return ModelFile(*about, model, original, trust, notes, effects, doubts)


def _retired(judged: Judged) -> str:
    """A note on settings that this version of Keras 3 no longer has."""
    if not judged.is_keras3:
        return ""
    from job.models import retired_settings

    return retired_settings.note(judged.config)


def _overruled(model: Any, judged: Judged) -> str:
    """A note on calls with ``training=True`` in a Keras 3 model."""
    if not judged.is_keras3 or "'training': True" not in str(model.get_config()):
        return ""
    return (
        "layers are called with training=True, which Keras 3 overrides in predict: their outputs "
        "are those of inference, here and in the files that are made"
    )


def _with_free_batch(model: Any, judged: Judged, trust: bool) -> tuple[Any, str]:
    """The model without a fixed batch size, and a note on it."""
    if not getattr(model, "inputs", None):  # a Keras 3 model: it is refused when it is rebuilt
        return model, ""
    return _made(lambda: free_batch(model, judged.where, trust=trust), judged)


def compare(file: ModelFile, inputs: Sequence[Array], where: str) -> bool:
    """Compare a Keras 3 model with its counterpart in Keras 2, on rows of each of its inputs.

    Returns:
        Whether there are two models that accept the rows.

    Raises:
        InputError: If their outputs differ.
    """
    if not file.is_keras3:
        return False
    from job.models import keras3

    try:
        keras3.compare(file.original, file.model, where, rows_of(inputs))
    except REFUSALS:
        return False  # such rows are reported when the baseline is measured
    return True


def optimizer_bytes(judged: Judged) -> int:
    """The size of the optimizer's state in a model file; no file written here has one."""
    if judged.format == "saved_model":
        return formats.optimizer_bytes(judged)
    return judged.optimizer_bytes


def reference_bytes(judged: Judged, found: ModelFile) -> int:
    """The size of the model alone, however it is packed: without an optimizer's state, and for a
    SavedModel without the traces of its layers; files written here have neither.
    """
    match judged.format:
        case "h5":
            return judged.path.stat().st_size - judged.optimizer_bytes
        case "keras":
            return sum(judged.contents.sizes.values()) - judged.optimizer_bytes
        case "saved_model":
            with tempfile.TemporaryDirectory() as scratch:
                written = Path(scratch) / "model.tar"
                formats.save_saved_model(found.original, written)
                return written.stat().st_size


def save(pruned: tf_keras.Model, like: ModelFile, path: Path) -> ModelFile:
    """Save a pruned model in the format of the file that it came from, and read it back.

    Returns:
        The model as it was read back: bit by bit the same weights, and the same outputs. The
        ``original`` of ``like`` has the new weights, too.

    Raises:
        StageError: If it is not the same.
    """
    if like.is_keras3:
        from job.models import keras3

        keras3.write(like.original, pruned, path)
    else:
        model = pruned
        if like.original is not like.model:  # of another precision, which the file keeps
            model = like.original
            model.set_weights(pruned.get_weights())
        formats.save_keras2(model, like.format, path)
    if path.suffix == ".keras":
        formats.repack(path)
    try:
        reloaded = read(path, trust=like.trusted)
    except InputError as error:
        raise StageError(f"The saved model does not load again: {error.what}") from None
    _check_same(pruned, reloaded.model)
    return reloaded


def _check_same(saved: tf_keras.Model, reloaded: tf_keras.Model) -> None:
    if len(saved.weights) != len(reloaded.weights):
        raise StageError("The saved model has other weights than before.")
    for before, after in zip(saved.weights, reloaded.weights, strict=True):
        if not np.array_equal(before.numpy(), after.numpy(), equal_nan=True):
            raise StageError("The saved model has other weights than before.", where=before.name)
    found = difference(saved, reloaded)
    if not found <= TOLERANCE:
        raise StageError(
            f"The saved model's outputs differ when it is read back: by {found:.2g}.",
            hint="Report the model's layers; it can't be saved faithfully.",
        )


def _refuse_unwritable(found: ModelFile, judged: Judged) -> None:
    """Write the model once, as after the training; it takes about as long as reading it.

    A SavedModel takes seconds, and is written anyway for its size (``reference_bytes``).
    """
    if found.format == "saved_model":
        return
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / f"model.{found.format}"
        try:
            if found.is_keras3:
                from job.models import keras3

                keras3.save(found.original, path)
            else:
                formats.save_keras2(found.original, found.format, path)
        except Exception as error:  # saving can make Keras raise anything
            if isinstance(error, OSError) and error.errno:  # of this machine, not of the model
                raise
            other = (
                " Or save it as .keras: model.save('model.keras')." if judged.format == "h5" else ""
            )
            raise InputError(
                f"Keras can load the model, and can't write it back as .{found.format}, which is "
                f"needed after pruning: {type(error).__name__}: {first_line(error)}",
                where=judged.where,
                hint="Load it where it was trained, and check that model.save works there." + other,
            ) from None


def _refuse_unknown_inputs(model: tf_keras.Model, where: str) -> None:
    if not getattr(model, "inputs", None):
        raise InputError(
            "The model does not say what shape its inputs have.",
            where=where,
            hint="Build it before it is saved: model.build(...), or add an InputLayer.",
        )


def _made(make: Callable[[], T], judged: Judged, *, is_rebuilding: bool = False) -> T:
    """The result of ``make`` for a file, or a refusal; see ``load_errors``."""
    try:
        with within_limits(judged.weight_bytes, judged.where):
            return make()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - a configuration can make Keras raise anything
        raise load_errors.explain(error, judged, is_rebuilding=is_rebuilding) from None
