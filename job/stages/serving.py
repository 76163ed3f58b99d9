"""The function of a model that is converted, and the names in the file's signature.

The converter changes names: it folds case, replaces what is not a letter, and drops the whole
signature where two names become equal or one begins with an underscore. So a model whose names are
not plain is converted under generated names, and its own are put into the file's signature
afterwards.
"""

from __future__ import annotations

import keyword
import re
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import tensorflow as tf
import tf_keras
from ai_edge_litert import schema_py_generated as schema

# Names that the converter does not change.
PLAIN = re.compile(r"[a-z][a-z0-9_]{0,99}")
# The converter's name for the tensor of an input.
TENSOR = "serving_default_{}:0"
# Offsets of fields in the vtables of a flatbuffer's tables.
TENSOR_MAP_NAME, TENSOR_NAME = 4, 10
UINT32 = struct.Struct("<I")


@dataclass(frozen=True)
class Names:
    """The names of inputs and outputs for the converter, each in the model's order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def names_for(model: tf_keras.Model) -> Names:
    """The model's names where all are plain, else generated ones."""
    return Names(_safe(model.input_names, "x"), _safe(model.output_names, "y"))


def _safe(names: Sequence[str], prefix: str) -> tuple[str, ...]:
    if all(PLAIN.fullmatch(name) and not keyword.iskeyword(name) for name in names):
        return tuple(names)
    digits = len(str(len(names) - 1))
    return tuple(f"{prefix}{index:0{digits}}" for index in range(len(names)))


def trace(model: tf_keras.Model, names: Names) -> tf.types.experimental.ConcreteFunction:
    """The model as one function, with inputs and outputs called by ``names``."""
    specs = [
        tf.TensorSpec(tensor.shape, tensor.dtype, name)
        for tensor, name in zip(model.inputs, names.inputs, strict=True)
    ]

    @tf.function(input_signature=specs, autograph=False)
    def serving_default(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        answer = model(tf.nest.pack_sequence_as(model.input, inputs), training=False)
        return dict(zip(names.outputs, tf.nest.flatten(answer), strict=True))

    return serving_default.get_concrete_function()


def with_names_of(model: tf_keras.Model, names: Names, content: bytes) -> bytes:
    """A converted file with the model's names in its signature.

    Nothing is moved: the new names are appended, and the references to the old ones changed.

    Args:
        model: The model.
        names: The names of its inputs and outputs in the file.
        content: The file.

    Raises:
        ValueError: Where the file's signature has other names: the converter has changed them.
    """
    inputs = dict(zip(names.inputs, model.input_names, strict=True))
    outputs = dict(zip(names.outputs, model.output_names, strict=True))
    root = schema.Model.GetRootAs(content, 0)
    signature = root.SignatureDefs(0) if root.SignatureDefsLength() == 1 else None
    if signature is None:
        raise ValueError("the converter has made a file without a signature")
    taken = [signature.Inputs(index) for index in range(signature.InputsLength())]
    given = [signature.Outputs(index) for index in range(signature.OutputsLength())]
    for maps, wanted in ((taken, inputs), (given, outputs)):
        found = sorted(it.Name().decode() for it in maps)
        if found != sorted(wanted):
            raise ValueError(f"the converter has renamed {sorted(wanted)} to {found}")
    graph = root.Subgraphs(signature.SubgraphIndex())
    tensors = [graph.Tensors(it.TensorIndex()) for it in taken]
    changed = [
        *_changes(taken, inputs, TENSOR_MAP_NAME),
        *_changes(given, outputs, TENSOR_MAP_NAME),
        *_changes(
            tensors,
            {TENSOR.format(old): TENSOR.format(new) for old, new in inputs.items()},
            TENSOR_NAME,
        ),
    ]
    return _with_strings(content, changed)


def _changes(
    tables: Sequence[schema.Tensor | schema.TensorMap], renamed: Mapping[str, str], field: int
) -> list[tuple[int, str]]:
    """The references to names that change, each with the new name."""
    changes = []
    for table in tables:
        name = table.Name().decode()
        if renamed.get(name, name) != name:
            changes.append((table._tab.Pos + table._tab.Offset(field), renamed[name]))  # noqa: SLF001 - no public way
    return changes


def _with_strings(content: bytes, changes: Sequence[tuple[int, str]]) -> bytes:
    """A flatbuffer with changed strings. A string is its length, its bytes and a zero; a reference
    to it is its distance from there.
    """
    if not changes:
        return content
    changed = bytearray(content)
    for reference, text in changes:
        changed.extend(bytes(-len(changed) % UINT32.size))
        UINT32.pack_into(changed, reference, len(changed) - reference)
        encoded = text.encode()
        changed += UINT32.pack(len(encoded)) + encoded + b"\0"
    changed.extend(bytes(-len(changed) % UINT32.size))
    return bytes(changed)
