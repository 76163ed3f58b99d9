"""What a result was made with: the versions of the libraries, and the machine."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

# What has a part in the bytes of the results.
PACKAGES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
    "h5py",
    "zopfli",
    "zstandard",
    "brotli",
)


def versions() -> dict[str, str]:
    """paredown's version, Python's, and those of the libraries, without importing them."""
    installed = {package: version(package) for package in PACKAGES}
    return {"paredown": version("paredown"), "python": platform.python_version(), **installed}


def environment() -> dict[str, str | int]:
    """The operating system, the CPU's name, the cores this process may use, memory in bytes."""
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    }


def cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_name() -> str:
    """The CPU's name as its maker gives it, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
