"""The same SavedModel, whatever the process that wrote it had done before.

TensorFlow ends the names of functions by a number that counts all that a process has made, and
writes the functions in an order that depends on the names. A job that goes on where it was stopped
has made less before; here the functions are numbered anew, in the order in which they were made.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message
from tensorflow.core.protobuf import saved_model_pb2

# A gradient's name has the number of the function that it is of as well.
COUNTED = re.compile(r"(__inference___backward_.*?_|.*_)(?:\d+_)?(\d+)")
# What recurrent layers call what their two implementations have in common: random.
UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
# Of a function's argument that has no name: a count, too.
ARGUMENT = "_user_specified_name"
# Longer strings are contents, not names.
MAX_NAME = 1000

Rename = Callable[[str], str]


def number_anew(model: saved_model_pb2.SavedModel) -> None:
    """Number the functions of a SavedModel from 0 on, and put them in that order."""
    for graph in model.meta_graphs:
        library = graph.graph_def.library
        ordered = sorted(library.function, key=lambda it: _parts(it.signature.name)[::-1])
        names = {
            it.signature.name: f"{_parts(it.signature.name)[0]}{index}"
            for index, it in enumerate(ordered)
        }
        del library.function[:]
        library.function.extend(ordered)
        for function in library.function:
            for index, argument in function.arg_attr.items():
                if argument.attr[ARGUMENT].s.isdigit():
                    argument.attr[ARGUMENT].s = str(index).encode()
        _rename(graph, _renaming(names))


def _parts(name: str) -> tuple[str, int]:
    """A function's name without its number, and the number."""
    found = COUNTED.fullmatch(name)
    return (found[1], int(found[2])) if found else (f"{name}_", -1)


def _renaming(names: dict[str, str]) -> Rename:
    """Replaces names, which are parts of other names too, and random identifiers."""
    longest_first = sorted(names, key=lambda it: (-len(it), it))
    any_name = re.compile(f"({'|'.join(map(re.escape, longest_first)) or '$^'})(?!\\d)")
    seen: dict[str, str] = {}

    def rename(text: str) -> str:
        if len(text) > MAX_NAME:
            return text
        text = any_name.sub(lambda it: names[it[0]], text)
        return UUID.sub(lambda it: seen.setdefault(it[0], str(len(seen))), text)

    return rename


def _rename(message: Message, rename: Rename) -> None:
    """Rename in every string of a message, keys of maps among them."""
    for field, value in message.ListFields():
        if field.type == field.TYPE_STRING:
            if isinstance(value, str):
                setattr(message, field.name, rename(value))
            else:
                value[:] = [rename(it) for it in value]
        elif field.type == field.TYPE_BYTES and isinstance(value, bytes):
            if value.isascii():
                setattr(message, field.name, rename(value.decode()).encode())
        elif field.type != field.TYPE_MESSAGE:
            continue
        elif isinstance(value, Message):
            _rename(value, rename)
        elif field.message_type.GetOptions().map_entry:
            _rename_in_map(value, rename)
        else:
            for it in value:
                _rename(it, rename)


def _rename_in_map(entries: Any, rename: Rename) -> None:
    for key in sorted(entries):
        if not isinstance(entries[key], Message):
            continue
        _rename(entries[key], rename)
        new = rename(key) if isinstance(key, str) else key
        if new != key:
            entries[new].CopyFrom(entries[key])
            del entries[key]
