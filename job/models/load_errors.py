"""Keras's exceptions for a model file that it can't load -> messages with the cause and the place.

Only files with damaged bytes are called damaged, as HDF5, zip or TensorFlow's checksums find. A
class that this Keras does not know, weights that do not fit the configuration, or a name that
Keras 2 does not allow have their own messages.
"""

from __future__ import annotations

import re
import zipfile
import zlib
from importlib.metadata import version

from job.errors import InputError
from job.safety.archive import COPY_AGAIN
from job.safety.judge import Judged

LONGEST = 300
# Exceptions for damaged bytes.
DAMAGED = (zlib.error, zipfile.BadZipFile, EOFError)
DAMAGED_CLASSES = ("DataLossError", "LZMAError")
HDF5_DAMAGED = re.compile(
    r"inflate\(\) failed|[Cc]an't read|unable to read|truncated|wrong fractal|bad (magic|symbol"
    r"|local|global|object|heap|version)|incorrect metadata checksum|addr overflow"
    r"|[Ff]ile signature"
)
# Keras nests the error of a layer in the error of its model.
NESTED = re.compile(r"Exception encountered: |Example error message for object ")
LAYER = re.compile(r"deserializing class '(\w+)' using config=\{'name': '([^']*)'")
# The object of an error about weights: "<Dense name=dense_7, built=False>:".
OBJECT = re.compile(r"<(?P<kind>\w+) name=(?P<name>[^,>]+), built=(?P<built>\w+)>")

# What to do about something that is unknown, by the version that saved the file. An older Keras
# had what this one has no longer; with an equal one, versions are not the cause.
BY_VERSION = {
    "newer": "Save it with {keras} or an older one.",
    "older": "Keras {saved} saved the model, and {keras} is newer: it may no longer have this.",
    "same": "",
}
AGAIN = "Load the model where it was trained, and save it again: model.save('model.keras')."
REPLACE = (
    "Keras 3 loads the file, so it is not damaged: replace this by something that Keras 2 has too, "
    "and save the model again."
)
OWN = (
    "If it is your own, its code is not in the file: use a built-in one, and save the model again."
)
UNKNOWN = (
    "The model uses the {kind} {name!r}, which {keras} does not know.",
    f"{{versions}} {OWN}",
)
# A pattern of an error's text -> a sentence and a hint, with the pattern's named groups, ``said``
# and ``keras`` as fields. The first match counts.
MEANINGS = {
    r"'(?P<name>.+?)/?' is not a valid (root )?scope name": (
        "The name {name!r} can't be a layer's in Keras 2.",
        "Name it with letters, digits, '_', '-', '.' and '/', and save the model again.",
    ),
    r"Unknown (?P<kind>layer|activation function|initializer|regularizer|constraint|loss|metric"
    r"|optimizer|dtype policy)[^:'\"]{0,20}:? ?['\"]?(?P<name>[\w>.]+)": UNKNOWN,
    r"Could not (?:locate|find) (?P<kind>class|function) '(?P<name>[\w>.]+)'": UNKNOWN,
    r"Could not interpret (?P<kind>[\w ]+?)(?: identifier| function)?: '?(?P<name>.+)": UNKNOWN,
    r"Unrecognized keyword arguments?(?: passed to \w+)?: \{?['\"]?(?P<name>\w+)"
    r"|unexpected keyword argument '(?P<other>\w+)'"
    r"|Keyword argument not understood:?'?[, (]*'(?P<third>\w+)'": (
        "The layer has the setting {name!r}, which {keras} does not know.",
        "{versions} Load it where it was trained, leave that setting out, and save it again.",
    ),
    r"was never built|built=False|has not (?:yet )?been built": (
        "A layer was not built: the file does not say which shapes its weights have.",
        "Build the model (call it once, or model.build(...)) before it is saved.",
    ),
    r"object '(?P<name>[^']+)' doesn't exist": (
        "The weights of {name!r} are not in the file.",
        AGAIN,
    ),
    r"(?:Layer|Weight) count mismatch|weight shape .* not compatible|[Ss]hape mismatch"
    r"|objects could not be loaded|expected \d+ (?:variables|weights|arrays)"
    r"|were? passed weights? .* expecting|weights? list of length|provided a weight": (
        "The weights do not fit the model's configuration: {said}",
        f"Both are readable, and they are not of the same model. {AGAIN}",
    ),
    r"is incompatible with the layer": (
        "The layers of the model's configuration do not fit each other: {said}",
        AGAIN,
    ),
    r"[Vv]ocabulary|assets?[/ ]": (
        "A vocabulary or another asset is not in the file: {said}",
        AGAIN,
    ),
}


def explain(error: Exception, judged: Judged, *, is_rebuilding: bool) -> InputError:
    """The refusal of a model file that Keras can't load, or that can't be rebuilt in Keras 2."""
    text, said = str(error), _innermost(error)
    if _is_damaged(error, text):
        return InputError(
            f"The model file is damaged: {type(error).__name__}: {said}",
            where=judged.where,
            hint=COPY_AGAIN,
        )
    keras = _keras(judged, is_rebuilding=is_rebuilding)
    where = judged.where + _layer(text)
    for pattern, (sentence, to_do) in MEANINGS.items():
        found = re.search(pattern, text)
        if found:
            names = found.groupdict() | {"name": _name(found)}
            what = sentence.format(said=said, keras=keras, **names)
            versions = BY_VERSION[_age(judged)].format(saved=judged.keras_version, keras=keras)
            hint = to_do.format(versions=versions).strip()
            break
    else:
        what = f"Keras can't make the model: {type(error).__name__}: {said}"
        hint = f"Check that Keras {judged.keras_version}, which saved it, loads it and runs it."
    if is_rebuilding:
        what = f"The model can't be rebuilt for Keras 2, which pruning needs. {what}"
        return InputError(what, where=where, hint=REPLACE)
    return InputError(what, where=where, hint=_with_version(hint, judged))


def _is_damaged(error: Exception, text: str) -> bool:
    if isinstance(error, DAMAGED) or type(error).__name__ in DAMAGED_CLASSES:
        return True
    return isinstance(error, OSError | RuntimeError) and HDF5_DAMAGED.search(text) is not None


def _innermost(error: Exception) -> str:
    """The first line of the innermost of nested errors."""
    last = NESTED.split(str(error))[-1].strip()
    lines = [line.strip() for line in last.splitlines() if line.strip()]
    if len(lines) > 1 and OBJECT.match(lines[0]):  # its name only; the cause follows
        lines = lines[1:]
    return (lines or [type(error).__name__])[0][:LONGEST].strip("\"'")


def _layer(text: str) -> str:
    """The layer that an error names, as the end of a place; "" if it names none."""
    made = LAYER.findall(text)
    if made:
        return f", layer {made[-1][1]} ({made[-1][0]})"
    loaded = OBJECT.search(text)
    return f", layer {loaded['name']} ({loaded['kind']})" if loaded else ""


def _name(found: re.Match[str]) -> str:
    """The name from one of the alternatives of a pattern."""
    groups = found.groupdict()
    names = (groups.get(it) for it in ("name", "other", "third"))
    return next((it for it in names if it), "").strip("'\". ")[:80]


def _keras(judged: Judged, *, is_rebuilding: bool) -> str:
    """The Keras that failed."""
    return "Keras 2" if is_rebuilding else f"Keras {_installed(judged)}"


def _installed(judged: Judged) -> str:
    return version("keras" if judged.is_keras3 else "tf-keras")


def _with_version(hint: str, judged: Judged) -> str:
    """The hint, with a remark if the file is of a newer Keras than the one that reads it."""
    if _age(judged) == "newer":
        here = _installed(judged)
        return f"The file was saved by Keras {judged.keras_version}, newer than {here} here. {hint}"
    return hint


def _age(judged: Judged) -> str:
    """Whether the Keras that saved the file is newer than this one, older, or the same."""
    saved, here = _numbers(judged.keras_version), _numbers(_installed(judged))
    return "same" if saved == here else "newer" if saved > here else "older"


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(it) for it in re.findall(r"\d+", text)[:2])
