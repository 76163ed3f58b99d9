"""A Keras SavedModel as data: its protobufs are read without TensorFlow.

The model's configuration is in ``keras_metadata.pb`` (in ``saved_model.pb`` before TensorFlow
2.5). The graph is never run here: the model is rebuilt from its configuration. It is checked all
the same, since loading the file elsewhere runs it.

Only the fields that are read are declared, by their numbers in TensorFlow's ``saved_model.proto``,
``meta_graph.proto``, ``graph.proto``, ``function.proto``, ``saved_object_graph.proto`` and Keras's
``saved_metadata.proto``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import PurePosixPath
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message

from job.errors import InputError
from job.safety.archive import GRAPH, Archive
from job.safety.config import Danger, read_config

METADATA = "keras_metadata.pb"
VARIABLES = "variables/variables"
HINT = "Save the whole model: model.save('model.keras'), or with Keras 2 as a SavedModel."

# message -> field -> (number, message or None for bytes, repeated)
SCHEMA: dict[str, dict[str, tuple[int, str | None, bool]]] = {
    "SavedModel": {"meta_graphs": (2, "MetaGraph", True)},
    "MetaGraph": {"graph_def": (2, "Graph", False), "object_graph_def": (7, "Objects", False)},
    "Graph": {"node": (1, "Node", True), "library": (2, "Library", False)},
    "Node": {"name": (1, None, False), "op": (2, None, False)},
    "Library": {"function": (1, "Function", True)},
    "Function": {"node_def": (3, "Node", True)},
    "Objects": {"nodes": (1, "Object", True)},
    "Object": {"user_object": (4, "UserObject", False)},
    "UserObject": {"identifier": (1, None, False), "metadata": (3, None, False)},
    "Metadata": {"nodes": (1, "MetadataNode", True)},
    "MetadataNode": {
        "node_path": (3, None, False),
        "identifier": (4, None, False),
        "metadata": (5, None, False),
    },
}

# Operators that read or write files, run Python, or use the network; not those with which every
# SavedModel saves and restores its own variables.
REACH_OUT = re.compile(
    r"(ReadFile|WriteFile|MatchingFiles|(Eager)?PyFunc(Stateless)?|LoadAndRemapMatrix"
    r"|InitializeTableFromTextFile(V2)?|\w*Reader(V2)?|ReaderRead\w*|ImmutableConst"
    r"|\w*(TextLine|TFRecord|FixedLengthRecord|LMDB|Sql|Snapshot|Save|Load|Cache|Generator)"
    r"Dataset\w*|DatasetToTFRecord\w*|\w*SummaryWriter|\w*Summary(File|Db)Writer|Write\w*Summary"
    r"|PrintV2|Debug\w+|Abort|RemoteCall|Rpc\w*|TryRpc|_?(Host)?(Send|Recv)|Collective\w+"
    r"|RegisterDataset\w*|DataServiceDataset\w*|\w*Checkpoint(Reader)?\w*Dataset|SaveSlices"
    r"|RestoreSlice|Xla(Host|Launch)\w*|TPU\w+|BigQuery\w+)"
)


@dataclass(frozen=True)
class Contents:
    """The description of a SavedModel."""

    config: dict[str, Any]
    keras_version: str
    weight_bytes: int
    dangers: tuple[Danger, ...]


def root(archive: Archive) -> str | None:
    """The folder of the archive that holds the SavedModel, with a trailing slash; None unless
    there is exactly one.
    """
    found = [name for name in archive.sizes if PurePosixPath(name).name == GRAPH]
    return found[0].removesuffix(GRAPH) if len(found) == 1 else None


def variables(archive: Archive) -> str:
    """The common start of the names of the files that hold the variables."""
    return (root(archive) or "") + VARIABLES


def variable_files(archive: Archive) -> list[str]:
    """The files that hold the variables: an index, and data shards.

    Raises:
        InputError: If there is no index. (Keras would then load another file as weights.)
    """
    start = variables(archive)
    if f"{start}.index" not in archive.sizes:
        raise InputError(
            f"The SavedModel has no {VARIABLES}.index in it.", where=archive.where, hint=HINT
        )
    part = re.compile(re.escape(start) + r"(\.index|\.data-\d{5}-of-\d{5})")
    return [name for name in archive.sizes if part.fullmatch(name)]


def read(archive: Archive) -> Contents:
    """Read a SavedModel as data.

    Raises:
        InputError: If it is damaged, was not written by Keras 2, or is a subclassed model.
    """
    where, folder = archive.where, root(archive) or ""
    graphs = _parse("SavedModel", archive.read(folder + GRAPH), where).meta_graphs
    metadata = _root_metadata(archive, folder, graphs)
    config = metadata.get("model_config") or {
        name: metadata.get(name) for name in ("class_name", "config")
    }
    if not metadata.get("is_graph_network", True) or config.get("config") is None:
        raise InputError(
            f"The model is a subclassed one ({config.get('class_name')}): there is no graph of its "
            "layers in it.",
            where=where,
            hint="Build it with the functional API, and save it again.",
        )
    return Contents(
        config=read_config(json.dumps(config), where),
        keras_version=str(metadata.get("keras_version", "2.0")),
        weight_bytes=sum(archive.sizes[name] for name in variable_files(archive)),
        dangers=tuple(_unsafe_operators(graphs)),
    )


def training_config(archive: Archive) -> object:
    """The compile settings of a validated SavedModel, as data; None if it was not compiled."""
    folder = root(archive) or ""
    graphs: Any = ()
    if folder + METADATA not in archive.sizes:
        graphs = _parse("SavedModel", archive.read(folder + GRAPH), archive.where).meta_graphs
    return _root_metadata(archive, folder, graphs).get("training_config")


def _root_metadata(archive: Archive, folder: str, graphs: Any) -> dict[str, Any]:
    """Keras's metadata of the model itself."""
    if folder + METADATA in archive.sizes:
        message = _parse("Metadata", archive.read(folder + METADATA), archive.where)
        nodes = [node for node in message.nodes if node.node_path in (b"", b"root")]
    else:
        nodes = [it.user_object for graph in graphs for it in graph.object_graph_def.nodes[:1]]
    models = (b"_tf_keras_model", b"_tf_keras_network", b"_tf_keras_sequential")
    texts = [node.metadata for node in nodes if node.identifier in models]
    if not texts:
        raise InputError(
            "The SavedModel holds a graph to be run and no Keras model: it was exported.",
            where=archive.where,
            hint=HINT,
        )
    return _object(texts[0], archive.where)


def _object(text: bytes, where: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("model_config") or {}, dict):
        raise InputError(
            "The SavedModel is corrupt: its metadata is no JSON.", where=where, hint=HINT
        )
    return found


def _unsafe_operators(graphs: Any) -> Iterator[Danger]:
    """The operators of the graph that access files, Python or the network, each kind once."""
    names: dict[bytes, bytes] = {}
    for graph in graphs:
        functions = [function.node_def for function in graph.graph_def.library.function]
        for nodes in [graph.graph_def.node, *functions]:
            names |= {node.op: node.name for node in nodes}
    for operator, name in sorted(names.items()):
        op = operator.decode(errors="replace")
        if REACH_OUT.fullmatch(op):
            what = f"The graph has the operator {op}, which reaches out of the model."
            yield Danger(what, name.decode(errors="replace"))


def _parse(kind: str, content: bytes, where: str) -> Any:
    try:
        return _classes()[kind].FromString(content)
    except (DecodeError, RecursionError) as error:
        raise InputError(
            f"The SavedModel is corrupt: it is no protobuf ({error}).", where=where, hint=HINT
        ) from None


@cache
def _classes() -> dict[str, type[Message]]:
    """The message classes of ``SCHEMA``."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="paredown.proto", package="paredown")
    for name, fields in SCHEMA.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            message.field.add(
                name=field,
                number=number,
                label=field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL,
                type=field_type.TYPE_MESSAGE if kind else field_type.TYPE_BYTES,
                type_name=f".paredown.{kind}" if kind else None,
            )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"paredown.{name}"))
        for name in SCHEMA
    }
