"""The versions of the libraries, and the machine that a result was made on.

A container is limited by its control group, v1 or v2: see cgroup-v2
(https://docs.kernel.org/admin-guide/cgroup-v2.html: ``cpu.max``, ``memory.max``) and cgroup-v1
(``cpu.cfs_quota_us``, ``memory.limit_in_bytes``). A group is limited by those above it, too, where
they can be seen.
"""

from __future__ import annotations

import contextlib
import functools
import math
import os
import platform
from collections.abc import Iterable, Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# What determines the bytes of every result.
PACKAGES = (
    "tensorflow",
    "tf-keras",
    "tensorflow-model-optimization",
    "ai-edge-litert",
    "numpy",
    "h5py",
)


def versions(libraries: Iterable[str] = ()) -> dict[str, str]:
    """paredown's version, Python's, and those of the packages, without importing them.

    Args:
        libraries: More packages, which the job asks for.
    """
    installed = {package: _version(package) for package in (*PACKAGES, *libraries)}
    return {"paredown": _version("paredown"), "python": platform.python_version(), **installed}


@functools.cache
def _version(package: str) -> str:
    """Read once: every job of a batch asks."""
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
    quota = cpu_quota()
    return max(1, min(pinned or 1, pinned or 1 if quota is None else math.ceil(quota)))


def memory_bytes() -> int:
    """The memory that this process may use: the machine's, or its container's limit."""
    installed = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = memory_limit()
    return installed if limit is None else min(installed, limit)


def resident_bytes(pid: int) -> int:
    """The resident memory of another process; 0 where it has ended or it can't be read."""
    try:
        pages = Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return 0
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def cpu_name() -> str:
    """The CPU's model name, where the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


MOUNT = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
# What v1 shows where there is no limit: the largest number of pages.
NO_LIMIT = 1 << 60


def cpu_quota(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> float | None:
    """Cores' worth of CPU time that this process may take; None where nothing limits it."""
    quotas = [_read(folder / "cpu.max") for folder in _groups("", mount, membership)]
    quotas += [
        f"{_read(folder / 'cpu.cfs_quota_us')} {_read(folder / 'cpu.cfs_period_us')}"
        for folder in _groups("cpu", mount, membership)
    ]
    found = [
        int(quota) / int(period)
        for quota, _, period in (it.partition(" ") for it in quotas)
        if quota.isdecimal() and period.isdecimal() and int(quota) and int(period)
    ]
    return min(found, default=None)


def memory_limit(mount: Path = MOUNT, membership: Path = MEMBERSHIP) -> int | None:
    """Bytes of memory that this process's group may take; None where nothing limits it."""
    limits = [_read(folder / "memory.max") for folder in _groups("", mount, membership)]
    limits += [
        _read(folder / "memory.limit_in_bytes") for folder in _groups("memory", mount, membership)
    ]
    found = [int(it) for it in limits if it.isdecimal() and 0 < int(it) < NO_LIMIT]
    return min(found, default=None)


def _groups(controller: str, mount: Path, membership: Path) -> Iterator[Path]:
    """The folders of this process's group and of those above it; ``""`` is v2's hierarchy.

    In a namespace of its own a container sees its group as the root.
    """
    for line in _read(membership).splitlines():
        _, controllers, path = line.split(":", 2)
        if controller not in controllers.split(","):
            continue
        top = mount if not controller else mount / controllers
        if controller and not top.is_dir():
            top = mount / controller
        folder = top / path.lstrip("/")
        while folder.is_relative_to(top):
            yield folder
            if folder == top:
                break
            folder = folder.parent


def _read(file: Path) -> str:
    with contextlib.suppress(OSError):
        return file.read_text(encoding="ascii").strip()
    return ""
