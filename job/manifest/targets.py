"""What a variant asks of the runtime that it is for, and that runtime can't have."""

from collections.abc import Iterator

from job.manifest.gates import MaxArenaGate
from job.manifest.job import JobConfig
from job.manifest.problems import Problem
from job.manifest.quantize import (
    DynamicRangeConfig,
    Float16Config,
    QuantizeConfig,
    WeightOnlyConfig,
)


def target_problems(job: JobConfig) -> Iterator[Problem]:
    """Every variant that its target can't run, and gates on an arena that there is not, each with
    its JSON path.
    """
    for index, variant in enumerate(job.quantize or ()):
        path = f"quantize.{index}"
        if variant.target == "tflm":
            yield from _micro(variant, path)
        if isinstance(variant, DynamicRangeConfig):
            yield from _blocks(variant, path)
            if variant.target == "tflite-2.14":
                yield from _one_scale(variant, path)
    for index, gate in enumerate(job.gates):
        if not isinstance(gate, MaxArenaGate):
            continue
        if gate.artifact in job.models:
            yield Problem(
                f"gates.{index}.artifact",
                f"{gate.artifact} is a Keras model, which has no arena; name a variant",
            )
        elif not job.quantize:
            yield Problem(
                f"gates.{index}",
                "only a .tflite has an arena, and quantize asks for none; add a variant, or leave "
                "the gate out",
            )


def _micro(variant: QuantizeConfig, path: str) -> Iterator[Problem]:
    if isinstance(variant, DynamicRangeConfig):
        yield Problem(
            f"{path}.target",
            "tflm has no kernels for integer weights beside float activations, which dynamic_range "
            "has; use int8, or float32",
        )
    if isinstance(variant, WeightOnlyConfig):
        yield Problem(
            f"{path}.target",
            "tflm would make floats of the weights each time it runs; use int8, or float32",
        )
    if isinstance(variant, Float16Config):
        yield Problem(f"{path}.target", "tflm has no float16; use int8, or float32")


def _blocks(variant: DynamicRangeConfig, path: str) -> Iterator[Problem]:
    """Blockwise scales of weights that have other widths, or for a runtime that has none."""
    if variant.blockwise is None:
        return
    widths = set(variant.widths.values())
    is_found_later = variant.layers == "auto" and variant.weight_bits < 8
    if 4 not in widths and not is_found_later:
        asked = " and ".join(map(str, sorted(widths)))
        yield Problem(
            f"{path}.blockwise",
            f"kernels of 4 bits alone have blockwise scales, and these have {asked}; set "
            '"weight_bits": 4, here or for some layers, or leave blockwise out',
        )
    if variant.target == "tflite-2.14":
        yield Problem(
            f"{path}.blockwise",
            "tflite-2.14 has no kernels for blockwise scales; leave blockwise out, or set target "
            "to litert-2.1",
        )


def _one_scale(variant: DynamicRangeConfig, path: str) -> Iterator[Problem]:
    """Weights that are trained for a scale for each channel would be rounded to another one."""
    fewest = min(variant.widths.values())
    is_trained = fewest < 8 if variant.aware is None else variant.aware
    if is_trained and variant.per_channel and variant.blockwise is None:
        yield Problem(
            f"{path}.per_channel",
            "tflite-2.14 takes one scale for the whole kernel of a Dense layer, and the weights "
            'are trained for one of each channel; set "per_channel": false',
        )
