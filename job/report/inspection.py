"""What ``paredown inspect`` prints, for a person or for a program."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from job.artifact import TensorResult
from job.result import InspectResult
from job.text import printable

HEAD = ("layer", "type", "output", "parameters", "can be pruned")


def as_ascii(result: InspectResult) -> str:
    """JSON for a program, in ASCII, since it may be shown on a terminal."""
    return json.dumps(json.loads(result.model_dump_json()), indent=2)


def text(result: InspectResult) -> str:
    """All of it, as plain text."""
    return "\n".join(printable(line).replace("\n", " ") for line in _lines(result))


def _lines(result: InspectResult) -> Iterator[str]:
    yield f"{result.uri}"
    yield f"  format      {result.format}, saved by Keras {result.keras_version}"
    yield f"  size        {result.bytes:,} bytes, SHA-256 {result.sha256}"
    if result.dangers:
        yield "  dangers     nothing of it was loaded:"
        yield from (f"    {danger}" for danger in result.dangers)
        return
    yield "  dangers     none found"
    yield f"  inputs      {_tensors(result.inputs)}"
    yield f"  outputs     {_tensors(result.outputs)}"
    prunable = sum(layer.prunable_weights for layer in result.layers if layer.prunable)
    yield f"  parameters  {result.parameters:,}, of which {prunable:,} can be pruned"
    yield from (f"  to choose   {choice}" for choice in result.choices)
    yield ""
    yield from _table(
        [
            HEAD,
            *(
                (
                    layer.name,
                    layer.type,
                    layer.output_shape,
                    f"{layer.parameters:,}" if layer.parameters else "",
                    f"{layer.prunable_weights:,} weights"
                    if layer.prunable
                    else (f"no: {layer.reason}" if layer.reason else ""),
                )
                for layer in result.layers
            ),
        ]
    )
    if result.variants:
        yield ""
        yield "quantize variants"
        width = max(len(name) for name in result.variants)
        yield from (f"  {name:<{width}}  {outcome}" for name, outcome in result.variants.items())
    yield from (f"warning: {warning}" for warning in result.warnings)


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        yield "  ".join(
            f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)
        ).rstrip()


def _tensors(tensors: Sequence[TensorResult]) -> str:
    return ", ".join(f"{it.name} {_shape(it.shape)} {it.dtype}" for it in tensors)


def _shape(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
