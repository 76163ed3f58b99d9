"""Control groups, as the kernel shows them to a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from job import machine


def group(folder: Path, membership: str, files: dict[str, str]) -> tuple[Path, Path]:
    """A mounted hierarchy with these files, and a process's membership in it."""
    mount = folder / "cgroup"
    mount.mkdir()
    for name, content in files.items():
        path = mount / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    member = folder / "self"
    member.write_text(membership)
    return mount, member


V1 = "5:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n0::/\n"


@pytest.mark.parametrize(
    ("membership", "files", "cores", "memory"),
    [
        ("0::/\n", {"cpu.max": "150000 100000", "memory.max": "2147483648"}, 1.5, 2 << 30),
        ("0::/\n", {"cpu.max": "max 100000", "memory.max": "max"}, None, None),
        ("0::/\n", {}, None, None),
        ("0::/a/b\n", {"a/cpu.max": "100000 100000", "a/b/cpu.max": "400000 100000"}, 1.0, None),
        ("0::/not/seen\n", {"cpu.max": "50000 100000", "memory.max": "1000"}, 0.5, 1000),
        (
            V1,
            {
                "cpu,cpuacct/docker/a/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/docker/a/cpu.cfs_period_us": "100000",
                "memory/docker/a/memory.limit_in_bytes": "1073741824",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            2.0,
            1 << 30,
        ),
        (
            V1,
            {
                "cpu/cpu.cfs_quota_us": "-1",
                "cpu/cpu.cfs_period_us": "100000",
                "memory/memory.limit_in_bytes": "9223372036854771712",
            },
            None,
            None,
        ),
        (
            V1,
            {"cpu/cpu.cfs_quota_us": "25000", "cpu/cpu.cfs_period_us": "100000"},
            0.25,
            None,
        ),
    ],
)
def test_limits_are_read(
    membership: str,
    files: dict[str, str],
    cores: float | None,
    memory: int | None,
    tmp_path: Path,
) -> None:
    """Of both versions; the lowest of the group and of those above it; none where there is none."""
    place = group(tmp_path, membership, files)
    assert machine.cpu_quota(*place) == cores
    assert machine.memory_limit(*place) == memory


def test_a_system_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    """As macOS."""
    assert machine.cpu_quota(tmp_path / "none", tmp_path / "no") is None
    assert machine.memory_limit(tmp_path / "none", tmp_path / "no") is None
