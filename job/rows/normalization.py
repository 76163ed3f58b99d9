"""The arithmetic of preprocessing: the same code for NumPy arrays and for tensors in a graph.

TensorFlow may compile a division by a constant in a graph as a multiplication, so that training
rounds some values differently than NumPy, by a unit in the last place. ``scale`` alone never does.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from job.errors import InputError
from job.manifest.preprocess import PreprocessConfig, PresetName
from job.result.artifact import PreprocessResult
from job.result.specs import TensorSpec

Numbers = tuple[float, ...]
OPERATORS = {"*": operator.mul, "/": operator.truediv, "+": operator.add, "-": operator.sub}


@dataclass(frozen=True)
class _Step:
    """One operation with a constant, which is a number or one for each index of the last axis."""

    field: str
    """What it is called in the manifest."""
    symbol: str
    numbers: Numbers


@dataclass(frozen=True)
class Normalization:
    """``(value / divisor * scale + offset - mean) / std``; what is None is not computed."""

    scale: float = 1.0
    """1 is not computed."""
    offset: Numbers | None = None
    mean: Numbers | None = None
    std: Numbers | None = None
    reverse_channels: bool = False
    """Whether the last axis is reversed first: RGB to BGR."""
    dtype: str = "float32"
    """What values are cast to before."""
    model_dtype: str = "float32"
    """What the result is rounded to."""
    divisor: float | None = None
    """Only of presets, whose bits are those of a division."""
    name: str = ""
    """The model's input, for messages."""

    @property
    def steps(self) -> list[_Step]:
        """What is computed, in this order."""
        given = (
            ("divisor", "/", None if self.divisor is None else (self.divisor,)),
            ("scale", "*", None if self.scale == 1 else (self.scale,)),
            ("offset", "+", self.offset),
            ("mean", "-", self.mean),
            ("std", "/", self.std),
        )
        return [_Step(field, symbol, them) for field, symbol, them in given if them is not None]

    @property
    def channels(self) -> int | None:
        """The size that the last axis must have; None: any."""
        return max((size for it in self.steps if (size := len(it.numbers)) > 1), default=None)

    def apply(self, values: Any) -> Any:
        """Normalized values.

        Args:
            values: An array or a tensor of (rows, ...), cast to ``dtype``.

        Returns:
            The same kind and shape, of ``model_dtype``.

        Raises:
            InputError: Where the last axis has another size than the constants.
        """
        self._check_channels(values.shape)
        if self.reverse_channels:
            values = values[..., ::-1]
        is_tensor = tf.is_tensor(values)
        dtype = np.dtype(values.dtype.as_numpy_dtype if is_tensor else values.dtype)
        for step in self.steps:
            values = OPERATORS[step.symbol](values, _constant(step.numbers, dtype))
        if is_tensor:
            return tf.cast(values, self.model_dtype)
        return values.astype(self.model_dtype, copy=False)

    def _check_channels(self, shape: Any) -> None:
        wanted = self.channels
        if wanted is None or (isinstance(shape, tf.TensorShape) and shape.rank is None):
            return
        size = shape[-1] if len(shape) > 1 else 1
        if size not in (None, wanted):
            raise InputError(
                f"The rows of the input {self.name} have {size} channels, and are normalized with "
                f"constants of {wanted}.",
                where="dataset.preprocess",
                hint="Give as many constants as the last axis has indices, or a single one.",
            )


def _constant(numbers: Numbers, dtype: np.dtype[Any]) -> Any:
    """A scalar, or (channels,)."""
    return dtype.type(numbers[0]) if len(numbers) == 1 else np.asarray(numbers, dtype)


# What keras.applications.imagenet_utils calls these modes.
TF_MODE = Normalization(divisor=127.5, mean=(1.0,))
TORCH_MODE = Normalization(divisor=255.0, mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE_MODE = Normalization(mean=(103.939, 116.779, 123.68), reverse_channels=True)
# These models have layers of their own for it.
NOTHING = Normalization()
PRESETS: dict[PresetName, Normalization] = {
    "convnext": NOTHING,
    "densenet": TORCH_MODE,
    "efficientnet": NOTHING,
    "efficientnet_v2": NOTHING,
    "inception_resnet_v2": TF_MODE,
    "inception_v3": TF_MODE,
    "mobilenet": TF_MODE,
    "mobilenet_v2": TF_MODE,
    "mobilenet_v3": NOTHING,
    "nasnet": TF_MODE,
    "regnet": NOTHING,
    "resnet50": CAFFE_MODE,
    "resnet101": CAFFE_MODE,
    "resnet152": CAFFE_MODE,
    "resnet_rs": NOTHING,
    "resnet50_v2": TF_MODE,
    "resnet101_v2": TF_MODE,
    "resnet152_v2": TF_MODE,
    "vgg16": CAFFE_MODE,
    "vgg19": CAFFE_MODE,
    "xception": TF_MODE,
}


def of(
    config: PreprocessConfig, spec: TensorSpec, where: str = "dataset.preprocess"
) -> Normalization | None:
    """The arithmetic for an input; None where there is nothing to compute.

    Args:
        config: What is asked.
        spec: The model's input.
        where: The entry in the manifest, such as ``dataset.preprocess.0``.

    Raises:
        InputError: Where the input takes no floats, the constants do not fit its last axis, or a
            constant is too large or too small for the dtype.
    """
    preset = NOTHING if config.preset is None else PRESETS[config.preset]
    asked = replace(
        preset,
        scale=preset.scale if config.scale is None else config.scale,
        offset=_numbers(config.offset) or preset.offset,
        mean=_numbers(config.mean) or preset.mean,
        std=_numbers(config.std) or preset.std,
        dtype=config.dtype or spec.dtype,
        model_dtype=spec.dtype,
        name=spec.name,
    )
    if not asked.steps and not asked.reverse_channels and config.dtype in (None, spec.dtype):
        return None
    if not tf.as_dtype(spec.dtype).is_floating:
        raise InputError(
            f"The model's input {spec.name} is of {spec.dtype}: its values are indices, and can't "
            "be normalized.",
            where=where,
            hint="Leave out preset, scale, offset, mean, std and dtype of this input.",
        )
    for step in asked.steps:
        field = step.field if config.preset is None else "preset"
        _check_size(step, spec, f"{where}.{field}")
        _check_dtype(step, np.dtype(tf.as_dtype(asked.dtype).as_numpy_dtype), f"{where}.{field}")
    return asked


def _numbers(given: float | list[float] | None) -> Numbers | None:
    if given is None:
        return None
    return tuple(given) if isinstance(given, list) else (given,)


def _check_size(step: _Step, spec: TensorSpec, where: str) -> None:
    size, channels = len(step.numbers), spec.shape[-1] if spec.shape else 1
    if size > 1 and channels not in (None, size):
        raise InputError(
            f"The last axis of the model's input {spec.name} has the size {channels}, and there "
            f"are {size} numbers for it.",
            where=where,
            hint=f"Its shape is {spec.shape}. Give a single number, or one for each index of the "
            "last axis.",
        )


def _check_dtype(step: _Step, dtype: np.dtype[Any], where: str) -> None:
    """Refuse constants that become infinite, or a factor or divisor that becomes zero."""
    with np.errstate(over="ignore", under="ignore"):
        found = np.asarray(step.numbers, np.float64).astype(dtype).astype(np.float64)
    if not np.isfinite(found).all() or (step.symbol in "*/" and not found.all()):
        raise InputError(
            f"{step.field} is {_text(step.numbers)}, which has no value in {dtype}.",
            where=where,
            hint="Give other numbers, or another dtype.",
        )


def preprocessed(config: PreprocessConfig, spec: TensorSpec) -> PreprocessResult:
    """What is done to an input, for the result."""
    found = of(config, spec) or NOTHING
    return PreprocessResult(
        shape=config.shape,
        resize=config.resize and list(config.resize),
        interpolation=config.interpolation if config.resize else None,
        one_hot=config.one_hot,
        reverse_channels=found.reverse_channels,
        divide_by=found.divisor,
        scale=None if found.scale == 1 else found.scale,
        offset=found.offset and list(found.offset),
        mean=found.mean and list(found.mean),
        std=found.std and list(found.std),
    )


def described(normalization: Normalization) -> str:
    """One line for the log and the result: ``input_1: (value * 0.00784314) - 1``."""
    text = "reversed(value)" if normalization.reverse_channels else "value"
    for count, step in enumerate(normalization.steps):
        text = f"({text})" if count else text
        text = f"{text} {step.symbol} {_text(step.numbers)}"
    if normalization.dtype != normalization.model_dtype:
        text += f", in {normalization.dtype}"
    return f"{normalization.name}: {text}"


def _text(numbers: Numbers) -> str:
    listed = ", ".join(f"{it:.6g}" for it in numbers)
    return listed if len(numbers) == 1 else f"[{listed}]"
