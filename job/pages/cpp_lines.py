"""The lines of C++ that load a ``.tflite``: from its smallest form, or from its C array.

Names of a model stand in comments only; inputs and outputs are found by their position.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from job.pages.flat_values import beforehand, is_copied, listed, one_call, prepared
from job.pages.literals import elements, limits, offset_by, remark, single
from job.pages.python_lines import decoder_of
from job.result.artifact import CArrayResult, TensorResult
from job.result.result import ArtifactResult

TYPES: Mapping[str, str] = {
    "float32": "float",
    "float64": "double",
    "bool": "bool",
    **{f"{sign}int{bits}": f"{sign}int{bits}_t" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}
READ = """\
std::ifstream file("{path}", std::ios::binary);
std::vector<char> packed((std::istreambuf_iterator<char>(file)), {{}});"""
# By decoder: the header, and lines that fill ``content``, which has the file's size.
DECODERS: Mapping[str, tuple[str, str]] = {
    "file": (
        "",
        (
            'std::ifstream file("{path}", std::ios::binary);\n'
            "if (!file.read(content.data(), content.size())) return 1;"
        ),
    ),
    "gzip": (
        "<zlib.h>",
        (
            'gzFile file = gzopen("{path}", "rb");\n'
            "if (!file || gzread(file, content.data(), {bytes}) != {bytes}) return 1;\n"
            "gzclose(file);"
        ),
    ),
    "zip": (
        "<zip.h>",
        (
            'zip_t* archive = zip_open("{path}", ZIP_RDONLY, nullptr);\n'
            "zip_file_t* file = archive ? zip_fopen_index(archive, 0, 0) : nullptr;\n"
            "if (!file || zip_fread(file, content.data(), {bytes}) != {bytes}) return 1;\n"
            "zip_fclose(file);\n"
            "zip_close(archive);"
        ),
    ),
    "zstd": (
        "<zstd.h>",
        READ + "\nif (ZSTD_decompress(content.data(), content.size(), packed.data(),\n"
        "                    packed.size()) != content.size()) {{\n  return 1;\n}}",
    ),
    "brotli": (
        "<brotli/decode.h>",
        READ + "\nsize_t size = content.size();\n"
        "if (BrotliDecoderDecompress(\n"
        "        packed.size(), reinterpret_cast<const uint8_t*>(packed.data()), &size,\n"
        "        reinterpret_cast<uint8_t*>(content.data())) !=\n"
        "    BROTLI_DECODER_RESULT_SUCCESS) {{\n  return 1;\n}}",
    ),
    "xz": (
        "<lzma.h>",
        READ + "\n{stream}lzma_stream_decoder(&stream, UINT64_MAX, 0){decode}",
    ),
    "lzma": (
        "<lzma.h>",
        READ + "\n{stream}lzma_alone_decoder(&stream, UINT64_MAX){decode}",
    ),
    "lz4": (
        "<lz4frame.h>",
        READ + "\nLZ4F_dctx* context = nullptr;\n"
        "LZ4F_createDecompressionContext(&context, LZ4F_VERSION);\n"
        "size_t size = content.size(), used = packed.size();\n"
        "size_t left = LZ4F_decompress(context, content.data(), &size, packed.data(), &used,\n"
        "                              nullptr);\n"
        "LZ4F_freeDecompressionContext(context);\n"
        "if (left != 0 || size != content.size()) return 1;",
    ),
}
STREAM = """\
lzma_stream stream = LZMA_STREAM_INIT;
stream.next_in = reinterpret_cast<const uint8_t*>(packed.data());
stream.avail_in = packed.size();
stream.next_out = reinterpret_cast<uint8_t*>(content.data());
stream.avail_out = content.size();
if ("""
DECODE = """ != LZMA_OK) return 1;
lzma_code(&stream, LZMA_FINISH);
if (stream.avail_out != 0) return 1;
lzma_end(&stream);"""
HEADERS = ("interpreter.h", "kernels/register.h", "model.h")
MICRO = (
    "micro/micro_interpreter.h",
    "micro/micro_mutable_op_resolver.h",
    "schema/schema_generated.h",
)
ROOM = 8192
"""Bytes for the interpreter's own structures, beside the tensors that ``arena_bytes`` counts."""


def has_cpp(artifact: ArtifactResult) -> bool:
    """Whether all inputs and outputs have a type that C++ and Kotlin have."""
    tensors = [*artifact.inputs, *artifact.outputs]
    return artifact.format == "tflite" and all(it.dtype in TYPES for it in tensors)


def cpp_lines(artifact: ArtifactResult, *, is_micro: bool, has_state: bool) -> str:
    """A program that answers for one call.

    Args:
        artifact: The file, with its inputs and outputs.
        is_micro: Whether it is for a microcontroller; then it has a C array.
        has_state: Whether it has recurrent layers.
    """
    array = artifact.c_array
    micro = array if is_micro else None
    opened = _micro(artifact, micro) if micro else [*_content(artifact), *_interpreter(artifact)]
    owner = "interpreter." if micro else "interpreter->"
    body = [*opened, *_inputs(artifact, is_micro=micro is not None)]
    if has_state:
        body.append(f"{owner}{'Reset' if micro else 'ResetVariableTensors'}();")
    body.append(f"if ({owner}Invoke() != kTfLiteOk) return 1;")
    body += _outputs(artifact, is_micro=micro is not None)
    head = [
        *_headers(artifact, is_micro=micro is not None),
        "",
        *(_declared(array) if array else []),
    ]
    return "\n".join([*head, "int main() {", *_indented(body), "}"]) + "\n"


def _indented(lines: Sequence[str]) -> list[str]:
    return [f"  {line}".rstrip() for text in lines for line in text.split("\n")]


def _headers(artifact: ArtifactResult, *, is_micro: bool) -> list[str]:
    standard = ["<algorithm>", "<cmath>", "<cstdint>", "<vector>"]
    others = [f'"tensorflow/lite/{it}"' for it in (MICRO if is_micro else HEADERS)]
    if not is_micro:
        standard.append("<memory>")
    if artifact.c_array is None:
        header, lines = DECODERS[decoder_of(artifact)]
        others = [*([header] if header else []), *others]
        standard += ["<fstream>", "<iterator>"] if "ifstream" in lines else []
    included = [f"#include {it}" for it in sorted(standard)]
    return [*included, "", *(f"#include {it}" for it in others)]


def _declared(array: CArrayResult) -> list[str]:
    return [
        f"// Of {array.path}, which is compiled with this program.",
        f"extern const unsigned char {array.symbol}[];",
        f"extern const unsigned int {array.symbol}_len;",
        "",
    ]


def _content(artifact: ArtifactResult) -> Iterator[str]:
    """The lines up to the FlatBufferModel."""
    array = artifact.c_array
    if array is None:
        _, lines = DECODERS[decoder_of(artifact)]
        yield f"std::vector<char> content({artifact.bytes});"
        yield lines.format(
            path=artifact.smallest_path, bytes=artifact.bytes, stream=STREAM, decode=DECODE
        )
        data, size = "content.data()", "content.size()"
    else:
        data, size = f"reinterpret_cast<const char*>({array.symbol})", f"{array.symbol}_len"
    yield ""
    yield "auto model = tflite::FlatBufferModel::BuildFromBuffer("
    yield f"    {data}, {size});"
    yield "if (!model) return 1;"


def _interpreter(artifact: ArtifactResult) -> Iterator[str]:
    yield "tflite::ops::builtin::BuiltinOpResolver resolver;"
    yield "std::unique_ptr<tflite::Interpreter> interpreter;"
    yield "tflite::InterpreterBuilder(*model, resolver)(&interpreter);"
    yield "if (!interpreter) return 1;"
    for index, tensor in enumerate(artifact.inputs):
        if None in tensor.shape[1:]:
            shape = ", ".join(str(size or 1) for size in tensor.shape)
            yield f"// The model leaves sizes of {remark(tensor.name)} open: put yours for 1."
            yield f"interpreter->ResizeInputTensor(interpreter->inputs()[{index}], {{{shape}}});"
    yield "if (interpreter->AllocateTensors() != kTfLiteOk) return 1;"


def _micro(artifact: ArtifactResult, array: CArrayResult) -> Iterator[str]:
    yield "// An estimate for the tensors, and room for the interpreter."
    yield f"alignas(16) static uint8_t arena[{artifact.arena_bytes or 0} + {ROOM}];"
    yield "// One line for each operator of the file; AllocateTensors() says which is missing."
    yield "tflite::MicroMutableOpResolver<16> resolver;"
    yield "resolver.AddFullyConnected();"
    yield f"tflite::MicroInterpreter interpreter(tflite::GetModel({array.symbol}), resolver,"
    yield "                                     arena, sizeof(arena));"
    yield "if (interpreter.AllocateTensors() != kTfLiteOk) return 1;"


def _place(kind: str, index: int, dtype: str, *, is_micro: bool) -> str:
    owner = "interpreter." if is_micro else "interpreter->"
    return f"{owner}typed_{kind}_tensor<{TYPES[dtype]}>({index})"


def _count(tensor: TensorResult, kind: str, index: int, *, is_micro: bool) -> str:
    if None not in tensor.shape[1:] or is_micro:
        return str(elements(tensor.shape))
    return f"interpreter->{kind}_tensor({index})->bytes / sizeof({TYPES[tensor.dtype]})"


def _inputs(artifact: ArtifactResult, *, is_micro: bool) -> Iterator[str]:
    for index, tensor in enumerate(artifact.inputs):
        value = TYPES[tensor.dtype] if is_copied(tensor) else "float"
        count = _count(tensor, "input", index, is_micro=is_micro)
        said = f"{remark(tensor.name)}: {one_call(tensor)}, as in the data set{beforehand(tensor)}"
        yield ""
        yield f"// Input {index}, {said}."
        yield f"std::vector<{value}> row{index}({count});"
        for name, values in listed(tensor).items():
            yield f"const float {name}{index}[] = {{{', '.join(map(single, values))}}};"
        yield f"auto* input{index} = {_place('input', index, tensor.dtype, is_micro=is_micro)};"
        if is_copied(tensor):
            yield f"std::copy(row{index}.begin(), row{index}.end(), input{index});"
            continue
        yield f"for (size_t i = 0; i < row{index}.size(); ++i) {{"
        real = prepared(f"row{index}[i]", tensor, f"{{name}}{index}[i % {{count}}]")
        if tensor.scale is None:
            yield f"  input{index}[i] = static_cast<{TYPES[tensor.dtype]}>({real});"
        else:
            low, high = map(single, limits(tensor.dtype))
            yield f"  float real = {real};"
            yield (
                f"  float value = std::nearbyint(real / {single(tensor.scale)})"
                f"{offset_by(tensor.zero_point or 0)};"
            )
            cast = f"static_cast<{TYPES[tensor.dtype]}>"
            yield f"  input{index}[i] = {cast}(std::clamp(value, {low}, {high}));"
        yield "}"


def _outputs(artifact: ArtifactResult, *, is_micro: bool) -> Iterator[str]:
    for index, tensor in enumerate(artifact.outputs):
        count = _count(tensor, "output", index, is_micro=is_micro)
        place = _place("output", index, tensor.dtype, is_micro=is_micro)
        yield ""
        yield f"// Output {index}, {remark(tensor.name)}: {one_call(tensor)}."
        yield f"const auto* output{index} = {place};"
        if tensor.scale is None:
            of = TYPES[tensor.dtype]
            yield f"std::vector<{of}> answer{index}(output{index}, output{index} + {count});"
            continue
        yield f"std::vector<float> answer{index}({count});"
        yield f"for (size_t i = 0; i < answer{index}.size(); ++i) {{"
        moved = offset_by(-(tensor.zero_point or 0))
        real = f"(output{index}[i]{moved})" if moved else f"output{index}[i]"
        yield f"  answer{index}[i] = {real} * {single(tensor.scale)};"
        yield "}"
