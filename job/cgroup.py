"""What a container may take: the CPU quota and the memory limit of its control group, v1 and v2.

See cgroup-v2 (https://docs.kernel.org/admin-guide/cgroup-v2.html: ``cpu.max``, ``memory.max``) and
cgroup-v1 (``cpu.cfs_quota_us``, ``memory.limit_in_bytes``). A group is limited by those above it,
too, where they can be seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

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
