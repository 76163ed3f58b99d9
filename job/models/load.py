"""A model file -> a model that tfmot can prune, and back into a file of the same format.

The file's own words choose how it is read, never trial and error: what kind of file it is, and the
version of Keras that wrote it.
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
from job.models import h5, load_errors, precision, saved_model
from job.models.budget import refuse_huge_answers, within_limits
from job.models.compare import REFUSALS, TOLERANCE, Array, difference, rows_of
from job.models.free_batch import free_batch
from job.models.keras_file import repack, write_judged
from job.models.random_layers import Effects, refuse_changing
from job.safety.judge import Format, Judged, judge, refuse_dangers

T = TypeVar("T")


@dataclass(frozen=True)
class ModelFile:
    """A model as it was read from its file."""

    format: Format
    keras_version: str
    model: tf_keras.Model
    """The model in Keras 2 and in float32: what is pruned and converted."""
    original: Any
    """The model as it came: what is measured. Of a Keras 2 file in float32, ``model``."""
    trusted: bool = False
    """Whether its code may run."""
    notes: tuple[str, ...] = ()
    """What was changed so that it can be worked on, for the result."""
    effects: Effects = field(default_factory=Effects)
    """What its inference does beside computing: whether it is random."""

    @property
    def is_keras3(self) -> bool:
        """Whether Keras 3 wrote it."""
        return self.keras_version.startswith("3.")


def read(path: Path, *, trust: bool = False) -> ModelFile:
    """Judge a model file, and load it.

    Raises:
        InputError: Where it is refused, damaged, or of a kind that is not supported.
    """
    return load(judge(path), trust=trust)


def load(judged: Judged, *, trust: bool = False) -> ModelFile:
    """Load a model that was judged.

    Args:
        judged: The file.
        trust: Whether code that it carries may run.

    Raises:
        InputError: Where the model holds what could run code, or Keras can't make it.
    """
    if not trust:
        refuse_dangers(judged)
    if judged.is_keras3:
        from job.models import keras3  # a second to import, and rarely needed

        original = _made(lambda: keras3.read(judged, trust=trust), judged)
        precision.refuse_coarse_weights(original, judged.where)
        original, freed = _with_free_batch(original, judged, trust)
        model = _made(lambda: keras3.rebuild(original, judged.where), judged, is_rebuilding=True)
    else:
        original = _made(lambda: _load_keras2(judged, trust), judged)
        _check_inputs(original, judged.where)
        refuse_huge_answers(original, judged.where)
        precision.refuse_coarse_weights(original, judged.where)
        original, freed = _with_free_batch(original, judged, trust)
        model = precision.in_float32(original)
    effects = _made(lambda: refuse_changing(model, judged.where), judged)
    notes = tuple(filter(None, [freed, _overruled(original, judged)]))
    return ModelFile(judged.format, judged.keras_version, model, original, trust, notes, effects)


def _overruled(model: Any, judged: Judged) -> str:
    """What is to be known of calls with ``training=True`` in a Keras 3 model."""
    if not judged.is_keras3 or "'training': True" not in str(model.get_config()):
        return ""
    return (
        "layers are called with training=True, which Keras 3 overrules in predict: their answers "
        "are those of inference, here and in the files that are made"
    )


def _with_free_batch(model: Any, judged: Judged, trust: bool) -> tuple[Any, str]:
    """The model without a fixed batch size, and what was done."""
    if not getattr(model, "inputs", None):  # of Keras 3: it is refused when it is rebuilt
        return model, ""
    return _made(lambda: free_batch(model, judged.where, trust=trust), judged)


def compare(file: ModelFile, inputs: Sequence[Array], where: str) -> bool:
    """Compare a Keras 3 model with the one that was rebuilt of it, on given rows.

    Args:
        file: The two models; one of Keras 2 is what was read.
        inputs: Rows of each input, in the model's order, of its dtypes.
        where: The file, for messages.

    Returns:
        Whether there are two models that take the rows.

    Raises:
        InputError: Where they answer differently.
    """
    if not file.is_keras3:
        return False
    from job.models import keras3

    try:
        keras3.compare(file.original, file.model, where, rows_of(inputs))
    except REFUSALS:
        return False  # such rows are reported where the baseline is measured
    return True


def optimizer_bytes(judged: Judged) -> int:
    """The bytes of the optimizer's state that a model file holds; no file made here has one."""
    if judged.format == "saved_model":
        return saved_model.optimizer_bytes(judged)
    return judged.optimizer_bytes


def reference_bytes(judged: Judged, found: ModelFile) -> int:
    """The bytes of the model alone, however it is packed: without an optimizer's state, and of a
    SavedModel without the traces of its layers; what is written here has neither.
    """
    match judged.format:
        case "h5":
            return judged.path.stat().st_size - judged.optimizer_bytes
        case "keras":
            assert judged.archive is not None  # a .keras file is an archive
            return sum(judged.archive.sizes.values()) - judged.optimizer_bytes
        case "saved_model":
            with tempfile.TemporaryDirectory() as scratch:
                written = Path(scratch) / "model.tar"
                saved_model.save(found.original, written)
                return written.stat().st_size


def save(pruned: tf_keras.Model, like: ModelFile, path: Path) -> ModelFile:
    """Save a pruned model in the format that it came in, read it back and compare.

    Args:
        pruned: The model in Keras 2.
        like: The file that it was made of; its ``original`` takes the new weights.
        path: Where the file goes.

    Returns:
        What was read back: the same weights, bit by bit, and the same answers.

    Raises:
        StageError: Where it is not.
    """
    if like.is_keras3:
        from job.models import keras3

        keras3.write(like.original, pruned, path)
    else:
        model = pruned
        if like.original is not like.model:  # of another precision, which the file keeps
            model = like.original
            model.set_weights(pruned.get_weights())
        _save_keras2(model, like.format, path)
    if path.suffix == ".keras":
        repack(path)
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
            f"The saved model answers differently when it is read back: by {found:.2g}.",
            hint="Report the model's layers; it can't be saved faithfully.",
        )


def _save_keras2(model: tf_keras.Model, kind: Format, path: Path) -> None:
    match kind:
        case "h5":
            model.save(path, include_optimizer=False, save_format="h5")
        case "saved_model":
            saved_model.save(model, path)
        case "keras":
            model.save(path)  # it is not compiled, so there is no optimizer to leave out


def _load_keras2(judged: Judged, trust: bool) -> tf_keras.Model:
    match judged.format:
        case "h5":
            return h5.load(judged.path)
        case "saved_model":
            return saved_model.load(judged)
        case "keras":
            with tempfile.TemporaryDirectory() as scratch:
                path = write_judged(judged, Path(scratch))
                return tf_keras.models.load_model(path, compile=False, safe_mode=not trust)


def _check_inputs(model: tf_keras.Model, where: str) -> None:
    if not getattr(model, "inputs", None):
        raise InputError(
            "The model does not say what shape its inputs have.",
            where=where,
            hint="Build it before it is saved: model.build(...), or add an InputLayer.",
        )


def _made(make: Callable[[], T], judged: Judged, *, is_rebuilding: bool = False) -> T:
    """What ``make`` makes of a file, or a refusal; see ``load_errors``."""
    try:
        with within_limits(judged.weight_bytes, judged.where):
            return make()
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - Keras raises whatever a configuration leads to
        raise load_errors.explain(error, judged, is_rebuilding=is_rebuilding) from None
