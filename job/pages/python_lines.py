"""The lines of Python that load a file of a result and answer for rows of the data set."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from job.manifest.compress import ENCODINGS
from job.pages.literals import factor, is_argument, limits, offset_by, quoted, remark, resized
from job.result.artifact import FORMATS, TensorResult, UsageResult
from job.result.result import ArtifactResult

# By decoder: what is imported, and the bytes of an encoding at a path, which is a literal.
DECODERS: Mapping[str, tuple[str, str]] = {
    "gzip": ("gzip", "gzip.decompress(Path({path}).read_bytes())"),
    "xz": ("lzma", "lzma.decompress(Path({path}).read_bytes())"),
    "lzma": ("lzma", "lzma.decompress(Path({path}).read_bytes())"),
    "zstd": ("zstandard", "zstandard.decompress(Path({path}).read_bytes())"),
    "brotli": ("brotli", "brotli.decompress(Path({path}).read_bytes())"),
    "lz4": ("lz4.frame", "lz4.frame.decompress(Path({path}).read_bytes())"),
}
STANDARD = ("gzip", "io", "lzma", "pathlib", "tarfile", "tempfile", "zipfile")
NAMELESS = """
def run(*arrays):
    \"\"\"Call the file, which has no names: by the order of its inputs and outputs.\"\"\"
{resize}\
    for place, array in zip(interpreter.get_input_details(), arrays):
        interpreter.set_tensor(place["index"], array)
    interpreter.invoke()
    return [interpreter.get_tensor(it["index"]) for it in interpreter.get_output_details()]
"""
RESIZE = """\
    for place, array in zip(interpreter.get_input_details(), arrays):
        interpreter.resize_tensor_input(place["index"], array.shape)
    interpreter.allocate_tensors()
"""


def python_lines(artifact: ArtifactResult, usage: UsageResult) -> str:
    """A module with a function ``predict``, for the file's smallest form.

    Args:
        artifact: The file, with its inputs and outputs.
        usage: How it is loaded.
    """
    imported, load = _loading(artifact, usage)
    call = _interpreter_call if usage.loader == "ai_edge_litert" else _keras_call
    body = [*_docstring(artifact), *_fed(artifact.inputs), *call(artifact, usage)]
    if any("Path(" in line for line in load):
        imported.add("from pathlib import Path")
    lines = [*_imports(imported), "", *load, "", "", "def predict(rows):"]
    return "\n".join([*lines, *(f"    {line}".rstrip() for line in body)]) + "\n"


def decoder_of(artifact: ArtifactResult) -> str:
    """What opens the smallest form; ``file`` where it is the plain one."""
    codec, _ = artifact.smallest
    if codec == "file":
        return codec
    return artifact.encoded[codec].decoder or ENCODINGS[codec].decoder


def has_names(artifact: ArtifactResult) -> bool:
    """Whether a ``.tflite`` surely has a signature: only packed and slim files may have none."""
    return artifact.packed is None


def _imports(modules: set[str]) -> list[str]:
    """The standard library's, then all others; ``import`` before ``from``, as isort has it."""
    groups: list[list[str]] = []
    for is_standard in (True, False):
        lines = [
            it if it.startswith("from ") else f"import {it}"
            for it in modules
            if (it.removeprefix("from ").split()[0] in STANDARD) == is_standard
        ]
        groups.append(sorted(lines, key=lambda line: (line.startswith("from "), line)))
    return [*groups[0], *([""] if groups[0] else []), *groups[1]]


def _loading(artifact: ArtifactResult, usage: UsageResult) -> tuple[set[str], list[str]]:
    """What is imported, and the lines that load the file."""
    imported, lines = _decoding(artifact)
    imported.add("numpy as np")
    if usage.loader == "ai_edge_litert":
        imported.add("from ai_edge_litert.interpreter import Interpreter")
        return imported, [*lines, *_opening(artifact, usage)]
    imported.add(usage.loader)
    if len(artifact.outputs) > 1:
        imported.add("tensorflow as tf")
    imported.add("tempfile")
    load = f"{usage.loader}.models.load_model"
    if artifact.format == "saved_model":
        imported |= {"io", "zipfile" if artifact.path.endswith(".zip") else "tarfile"}
        opened = _unpacking(artifact, load)
    else:
        opened = [
            f"    path = Path(folder, {quoted(artifact.path)})",
            "    path.write_bytes(content)",
            f"    model = {load}(path, compile=False)",
        ]
    return imported, [*lines, "with tempfile.TemporaryDirectory() as folder:", *opened]


def _decoding(artifact: ArtifactResult) -> tuple[set[str], list[str]]:
    path, decoder = quoted(artifact.smallest_path), decoder_of(artifact)
    if decoder == "file":
        return set(), [f"content = Path({path}).read_bytes()"]
    if decoder == "zip":
        return {"zipfile"}, [
            f"with zipfile.ZipFile({path}) as archive:",
            f"    content = archive.read({quoted(artifact.path)})",
        ]
    module, expression = DECODERS[decoder]
    return {module}, [f"content = {expression.format(path=path)}"]


def _unpacking(artifact: ArtifactResult, load: str) -> list[str]:
    """A SavedModel that is made here is at the top of its archive, another one may be deeper."""
    if artifact.path.endswith(FORMATS["saved_model"].packed[b"PK"]):
        archive = ["    with zipfile.ZipFile(io.BytesIO(content)) as archive:"]
        archive.append("        archive.extractall(folder)")
    else:
        archive = ["    with tarfile.open(fileobj=io.BytesIO(content)) as archive:"]
        archive.append('        archive.extractall(folder, filter="data")')
    return [
        *archive,
        '    path = next(Path(folder).rglob("saved_model.pb")).parent',
        f"    model = {load}(path, compile=False)",
    ]


def _opening(artifact: ArtifactResult, usage: UsageResult) -> list[str]:
    lines = ["interpreter = Interpreter(model_content=content)"]
    is_open = any(None in tensor.shape for tensor in artifact.inputs)
    if has_names(artifact):
        if usage.has_state:
            lines.append("interpreter.allocate_tensors()")
        return [*lines, "run = interpreter.get_signature_runner()"]
    lines += [] if is_open and not usage.has_state else ["interpreter.allocate_tensors()"]
    function = NAMELESS.format(resize=RESIZE if is_open else "")
    return [*lines, "", *function.rstrip("\n").split("\n")]


def _docstring(artifact: ArtifactResult) -> list[str]:
    """What goes in and what comes out, with names and shapes."""
    several = len(artifact.inputs) > 1
    given = [
        f"{remark(tensor.name) + ': ' if several else ''}{_shape(tensor)}"
        + "".join(f", {step}" for step in resized(tensor))
        for tensor in artifact.inputs
    ]
    answered = [f"{remark(tensor.name)}: {_shape(tensor)}" for tensor in artifact.outputs]
    whose = "Arrays by name" if several else "An array"
    return [
        '"""Answer for rows as they are in the data set.',
        "",
        f"{whose}:",
        *(f"    {it}" for it in given),
        "Answers:",
        *(f"    {it}" for it in answered),
        '"""',
    ]


def _shape(tensor: TensorResult) -> str:
    steps = tensor.preprocess
    shape: Sequence[int | None] = tensor.shape[1:]
    if steps and steps.one_hot:
        shape = shape[:-1]
    sizes = ["rows", *("any" if size is None else str(size) for size in shape)]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"


def _variables(tensors: Sequence[TensorResult]) -> list[str]:
    return ["x"] if len(tensors) == 1 else [f"x{index}" for index in range(len(tensors))]


def _fed(tensors: Sequence[TensorResult]) -> Iterator[str]:
    """Each input as the file takes it."""
    for name, tensor in zip(_variables(tensors), tensors, strict=True):
        rows = "rows" if len(tensors) == 1 else f"rows[{quoted(tensor.name)}]"
        yield f"{name} = np.asarray({rows})"
        if tensor.preprocess is not None:
            yield from _preprocessed(name, tensor)
        elif factor(tensor) != 1:
            yield f"{name} = {name}.astype(np.float32) * np.float32({factor(tensor)!r})"
        is_copied = tensor.preprocess is None and factor(tensor) == 1
        if tensor.scale is None:
            if is_copied or tensor.dtype != "float32":
                yield f'{name} = {name}.astype("{tensor.dtype}")'
            continue
        low, high = limits(tensor.dtype)
        if is_copied:
            yield f"{name} = {name}.astype(np.float32)"
        point = offset_by(tensor.zero_point or 0)
        yield f"{name} = np.rint({name} / np.float32({tensor.scale!r})){point}"
        yield f'{name} = np.clip({name}, {low}, {high}).astype("{tensor.dtype}")'


def _preprocessed(name: str, tensor: TensorResult) -> Iterator[str]:
    steps = tensor.preprocess
    if steps is None:
        return
    if steps.shape and steps.resize is None:
        yield f"{name} = {name}.reshape(len({name}), {', '.join(map(str, steps.shape))})"
    if steps.one_hot:
        yield f"{name} = np.eye({steps.one_hot}, dtype=np.float32)[{name}.astype(int)]"
    if steps.reverse_channels:
        yield f"{name} = {name}[..., ::-1]"
    yield f"{name} = {name}.astype(np.float32)"
    for sign, step in (
        ("/", steps.divide_by),
        ("*", steps.scale),
        ("+", steps.offset),
        ("-", steps.mean),
        ("/", steps.std),
    ):
        if step is not None:
            yield f"{name} = {name} {sign} {_constant(step)}"


def _constant(step: float | list[float]) -> str:
    if isinstance(step, list) and len(step) > 1:
        return f"np.asarray({step!r}, np.float32)"
    return f"np.float32({(step[0] if isinstance(step, list) else step)!r})"


def _by_name(tensors: Sequence[TensorResult], values: Sequence[str]) -> str:
    pairs = (f"{quoted(it.name)}: {value}" for it, value in zip(tensors, values, strict=True))
    return f"{{{', '.join(pairs)}}}"


def _keras_call(artifact: ArtifactResult, _usage: UsageResult) -> Iterator[str]:
    names = _variables(artifact.inputs)
    given = names[0] if len(names) == 1 else _by_name(artifact.inputs, names)
    if len(artifact.outputs) == 1:
        yield f"return np.asarray(model({given}, training=False))"
        return
    yield f"answers = model({given}, training=False)"
    yield "return tf.nest.map_structure(np.asarray, answers)"


def _interpreter_call(artifact: ArtifactResult, usage: UsageResult) -> Iterator[str]:
    """The call, in steps where the file takes so many rows at a time, and its real outputs."""
    names, tensors = _variables(artifact.inputs), artifact.inputs
    keys: list[str] = [quoted(tensor.name) for tensor in artifact.outputs]
    if not has_names(artifact):
        keys = [str(index) for index in range(len(keys))]
    reset = ["interpreter.reset_all_variables()"] if usage.has_state else []
    batch = tensors[0].shape[0] if tensors[0].shape else None
    if batch is None:
        yield from reset
        yield f"answers = {_run(artifact, names, str)}"
        found = [f"answers[{key}]" for key in keys]
    else:
        yield "answers = []"
        yield f"for row in range(0, len({names[0]}), {batch}):"
        yield from (f"    {line}" for line in reset)
        part = _run(artifact, names, lambda name: f"{name}[row : row + {batch}]")
        yield f"    answers.append({part})"
        found = ["y"] if len(keys) == 1 else [f"y{index}" for index in range(len(keys))]
        for name, key in zip(found, keys, strict=True):
            yield f"{name} = np.concatenate([it[{key}] for it in answers])"
    values = [_real(value, it) for value, it in zip(found, artifact.outputs, strict=True)]
    if len(values) == 1:
        yield f"return {values[0]}"
        return
    yield "return {"
    for tensor, value in zip(artifact.outputs, values, strict=True):
        yield f"    {quoted(tensor.name)}: {value},"
    yield "}"


def _run(artifact: ArtifactResult, names: Sequence[str], part: Callable[[str], str]) -> str:
    if not has_names(artifact):
        return f"run({', '.join(map(part, names))})"
    given = list(zip(artifact.inputs, map(part, names), strict=True))
    if all(is_argument(tensor.name) for tensor, _ in given):
        return f"run({', '.join(f'{tensor.name}={value}' for tensor, value in given)})"
    return f"run(**{_by_name(artifact.inputs, [value for _, value in given])})"


def _real(value: str, tensor: TensorResult) -> str:
    if tensor.scale is None:
        return value
    moved = f"{value}.astype(np.float32){offset_by(-(tensor.zero_point or 0))}"
    return f"({moved}) * np.float32({tensor.scale!r})"
