"""The lines of Kotlin that load a ``.tflite`` on Android, from its smallest form.

Names of a model stand in comments only; inputs and outputs are found by their position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from job.pages.flat_values import beforehand, is_copied, listed, one_call, prepared
from job.pages.literals import elements, limits, offset_by, remark, single
from job.pages.python_lines import decoder_of
from job.result.artifact import TensorResult
from job.result.result import ArtifactResult


class Kind(NamedTuple):
    """How a dtype is written to a ByteBuffer and read from it."""

    array: str
    """What holds a row of such values."""
    put: str
    """What writes one; unsigned integers are written and read as the signed ones of their bits."""
    cast: str
    """Appended to a Float that is to be put."""
    get: str
    """What reads one."""
    size: int
    """Bytes of a value."""


KINDS: Mapping[str, Kind] = {
    "float32": Kind("FloatArray", "putFloat", "", "float", 4),
    "float64": Kind("DoubleArray", "putDouble", ".toDouble()", "double", 8),
    "int8": Kind("ByteArray", "put", ".toInt().toByte()", "get()", 1),
    "uint8": Kind("ByteArray", "put", ".toInt().toByte()", "get()", 1),
    "bool": Kind("ByteArray", "put", ".toInt().toByte()", "get()", 1),
    "int16": Kind("ShortArray", "putShort", ".toInt().toShort()", "short", 2),
    "uint16": Kind("ShortArray", "putShort", ".toInt().toShort()", "short", 2),
    "int32": Kind("IntArray", "putInt", ".toInt()", "int", 4),
    "uint32": Kind("IntArray", "putInt", ".toLong().toInt()", "int", 4),
    "int64": Kind("LongArray", "putLong", ".toLong()", "long", 8),
    "uint64": Kind("LongArray", "putLong", ".toLong()", "long", 8),
}
UNSIGNED = {"uint8": ".toUByte().toInt()", "uint16": ".toUShort().toInt()"}
# By decoder: what is imported, what opens a stream, and the package that has it.
DECODERS: Mapping[str, tuple[str, str, str]] = {
    "file": ("", "{stream}", ""),
    "gzip": ("java.util.zip.GZIPInputStream", "GZIPInputStream({stream})", ""),
    "zip": (
        "java.util.zip.ZipInputStream",
        "ZipInputStream({stream}).apply {{ nextEntry }}",
        "",
    ),
    "xz": ("org.tukaani.xz.XZInputStream", "XZInputStream({stream})", "org.tukaani:xz"),
    "lzma": ("org.tukaani.xz.LZMAInputStream", "LZMAInputStream({stream})", "org.tukaani:xz"),
    "zstd": (
        "com.github.luben.zstd.ZstdInputStream",
        "ZstdInputStream({stream})",
        "com.github.luben:zstd-jni",
    ),
    "brotli": (
        "org.brotli.dec.BrotliInputStream",
        "BrotliInputStream({stream})",
        "org.brotli:dec",
    ),
    "lz4": (
        "net.jpountz.lz4.LZ4FrameInputStream",
        "LZ4FrameInputStream({stream})",
        "org.lz4:lz4-java",
    ),
}
INTERPRETER = "org.tensorflow.lite.Interpreter"
LITERT = "com.google.ai.edge.litert:litert"


def kotlin_lines(artifact: ArtifactResult, *, has_state: bool) -> str:
    """A function that answers for one call.

    Args:
        artifact: The file, with its inputs and outputs.
        has_state: Whether it has recurrent layers.
    """
    imported, opened, package = DECODERS[decoder_of(artifact)]
    modules = {"java.io.File", "java.nio.ByteBuffer", "java.nio.ByteOrder", INTERPRETER}
    modules |= {imported} if imported else set()
    modules |= {"kotlin.math.round"} if any(it.scale for it in artifact.inputs) else set()
    body = [
        f'val file = File(folder, "{artifact.smallest_path}").inputStream()',
        f"val content = {opened.format(stream='file')}.use {{ it.readBytes() }}",
        "val interpreter = Interpreter(buffer(content.size).put(content))",
        *_resized(artifact),
        *_inputs(artifact),
        *_called(artifact, has_state=has_state),
        *_outputs(artifact),
    ]
    given = [f"row{index}: {_array(tensor)}" for index, tensor in enumerate(artifact.inputs)]
    whole = [
        f"// Needs {' and '.join(filter(None, [LITERT, package]))}; folder is where the file is,",
        "// such as context.filesDir.",
        *(f"import {it}" for it in sorted(modules)),
        "",
        "fun buffer(bytes: Int): ByteBuffer =",
        "    ByteBuffer.allocateDirect(bytes).order(ByteOrder.nativeOrder())",
        "",
        f"fun predict(folder: File, {', '.join(given)}): {_answer(artifact)} {{",
        *(f"    {line}".rstrip() for line in body),
        "}",
    ]
    return "\n".join(whole) + "\n"


def _array(tensor: TensorResult) -> str:
    return KINDS[tensor.dtype].array if is_copied(tensor) else "FloatArray"


def _answer(artifact: ArtifactResult) -> str:
    arrays = [
        "FloatArray" if it.scale is not None else KINDS[it.dtype].array for it in artifact.outputs
    ]
    if len(arrays) == 1:
        return arrays[0]
    return f"List<{arrays[0] if len(set(arrays)) == 1 else 'Any'}>"


def _resized(artifact: ArtifactResult) -> Iterator[str]:
    for index, tensor in enumerate(artifact.inputs):
        if None in tensor.shape[1:]:
            shape = ", ".join(str(size or 1) for size in tensor.shape)
            yield f"// The model leaves sizes of {remark(tensor.name)} open: put yours for 1."
            yield f"interpreter.resizeInput({index}, intArrayOf({shape}))"


def _inputs(artifact: ArtifactResult) -> Iterator[str]:
    for index, tensor in enumerate(artifact.inputs):
        kind = KINDS[tensor.dtype]
        yield ""
        said = f"{remark(tensor.name)}: {one_call(tensor)}, as in the data set{beforehand(tensor)}"
        yield f"// Input {index}, {said}"
        for name, values in listed(tensor).items():
            yield f"val {name}{index} = floatArrayOf({', '.join(map(single, values))})"
        if None not in tensor.shape[1:]:
            yield f"require(row{index}.size == {elements(tensor.shape)})"
        times = f"{kind.size} * " if kind.size > 1 else ""
        yield f"val input{index} = buffer({times}row{index}.size)"
        if is_copied(tensor):
            yield f"row{index}.forEach {{ input{index}.{kind.put}(it) }}"
            continue
        yield f"for (i in row{index}.indices) {{"
        real = prepared(f"row{index}[i]", tensor, f"{{name}}{index}[i % {{count}}]")
        if tensor.scale is None:
            value = f"({real}){kind.cast}" if kind.cast else real
        else:
            low, high = map(single, limits(tensor.dtype))
            yield f"    val real = {real}"
            moved = offset_by(tensor.zero_point or 0)
            yield f"    val value = round(real / {single(tensor.scale)}){moved}"
            value = f"value.coerceIn({low}, {high}){kind.cast}"
        yield f"    input{index}.{kind.put}({value})"
        yield "}"


def _called(artifact: ArtifactResult, *, has_state: bool) -> Iterator[str]:
    yield ""
    yield "interpreter.allocateTensors()"
    if has_state:
        yield "interpreter.resetVariableTensors()"
    for index in range(len(artifact.outputs)):
        yield f"val output{index} = buffer(interpreter.getOutputTensor({index}).numBytes())"
    given = ", ".join(f"input{index}" for index in range(len(artifact.inputs)))
    answers = ", ".join(f"{index} to output{index}" for index in range(len(artifact.outputs)))
    yield "interpreter.runForMultipleInputsOutputs("
    yield f"    arrayOf<Any>({given}),"
    yield f"    mapOf<Int, Any>({answers}),"
    yield ")"
    yield "interpreter.close()"


def _outputs(artifact: ArtifactResult) -> Iterator[str]:
    yield ""
    for index, tensor in enumerate(artifact.outputs):
        kind, output = KINDS[tensor.dtype], f"output{index}"
        yield f"// Output {index}, {remark(tensor.name)}: {one_call(tensor)}"
        yield f"{output}.rewind()"
        read = f"{output}.{kind.get}"
        array = kind.array
        if tensor.scale is not None:
            number = f"{read}{UNSIGNED.get(tensor.dtype, '')}"
            moved = offset_by(-(tensor.zero_point or 0))
            read = f"{f'({number}{moved})' if moved else number} * {single(tensor.scale)}"
            array = "FloatArray"
        count = f"{output}.capacity()" + (f" / {kind.size}" if kind.size > 1 else "")
        yield f"val answer{index} = {array}({count}) {{"
        yield f"    {read}"
        yield "}"
    names = ", ".join(f"answer{index}" for index in range(len(artifact.outputs)))
    yield f"return {names}" if len(artifact.outputs) == 1 else f"return listOf({names})"
