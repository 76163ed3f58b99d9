"""What a result was made with: the versions of the libraries, and the machine."""

from __future__ import annotations

import functools
import math
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from job import cgroup

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
    installed = {package: _version(package) for package in PACKAGES}
    return {"paredown": _version("paredown"), "python": platform.python_version(), **installed}


@functools.cache
def _version(package: str) -> str:
    """Read from a file, once: every job of a batch asks."""
    try:
        return version(package)
    except PackageNotFoundError:  # TensorFlow may be installed under another name; it is the same
        return version(f"{package}-cpu")


def environment() -> dict[str, str | int]:
    """The operating system, the CPU's name, the cores and the memory in bytes that this process may
    use.
    """
    return {
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": cores(),
        "memory_bytes": memory_bytes(),
    }


def cores() -> int:
    """The cores that this process may use: those it is pinned to, or its container's quota."""
    pinned = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quota = cgroup.cpu_quota()
    return max(1, min(pinned or 1, pinned or 1 if quota is None else math.ceil(quota)))


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's limit."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = cgroup.memory_limit()
    return installed if limit is None else min(installed, limit)


def resident_bytes(pid: int) -> int:
    """The memory that another process has now; 0 where it is gone, or the system does not tell."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def cpu_name() -> str:
    """The CPU's name as its maker gives it, where the system tells."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
