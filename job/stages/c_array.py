"""A file as a C array, as LiteRT for Microcontrollers takes its model: part of the program.

The array is aligned to 16 bytes, which the format asks for. The text depends on the file alone.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from job.result.artifact import C_SUFFIX, CArrayResult, file_digest

PER_LINE = 16


def symbol(name: str) -> str:
    """The array's name in C for a file's name: ``int8.tflite`` is ``int8_tflite``."""
    found = re.sub(r"[^A-Za-z0-9]", "_", name)
    return found if found[0].isalpha() else f"model_{found}"


def c_array(path: Path) -> CArrayResult:
    """Write a file as a C array beside itself.

    Args:
        path: The ``.tflite``.

    Returns:
        Its record.

    Raises:
        OSError: Where it can't be written.
    """
    content, name = path.read_bytes(), symbol(path.name)
    lines = [
        "  " + ", ".join(f"0x{byte:02x}" for byte in content[start : start + PER_LINE]) + ","
        for start in range(0, len(content), PER_LINE)
    ]
    target = path.with_name(path.name + C_SUFFIX)
    text = [
        f"// {path.name}: {len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()}",
        "// To use it, compile this file and declare in the code that loads the model:",
        f"//   extern const unsigned char {name}[];",
        f"//   extern const unsigned int {name}_len;",
        f"//   const tflite::Model* model = tflite::GetModel({name});",
        f"alignas({PER_LINE}) extern const unsigned char {name}[] = {{",
        *lines,
        "};",
        f"extern const unsigned int {name}_len = {len(content)};",
        "",
    ]
    target.write_text("\n".join(text), encoding="ascii", newline="\n")
    size, digest = file_digest(target)
    return CArrayResult(path=target.name, bytes=size, sha256=digest, symbol=name)
