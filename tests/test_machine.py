"""What a result was made with."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import distributions, version

from job import __version__, machine


def test_versions_are_those_that_are_installed() -> None:
    """Every library that has a part in the bytes is named, with paredown and Python."""
    found = machine.versions()
    assert found["paredown"] == __version__ == version("paredown")
    assert found["python"] == platform.python_version()
    assert {"tensorflow", "tf-keras", "ai-edge-litert", "numpy"} <= set(found)
    assert machine.versions(["zopfli"]) == found | {"zopfli": version("zopfli")}
    others = set(machine.PACKAGES) - {"tensorflow"}
    assert all(found[package] == version(package) for package in others)
    installed = {it.metadata["Name"].replace("_", "-"): it.version for it in distributions()}
    assert found["tensorflow"] in {installed.get("tensorflow"), installed.get("tensorflow-cpu")}


def test_the_machine_is_described() -> None:
    """Enough to say whether a figure can be compared with another."""
    found = machine.environment()
    assert found["machine"] == platform.machine()
    assert found["cores"] == len(os.sched_getaffinity(0))
    assert int(found["memory_bytes"]) > 1 << 28
    assert str(found["cpu"]).strip()


def test_cores_are_those_that_this_process_may_use() -> None:
    """In a container that is pinned to one core of many, it is one."""
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from job.machine import cores; print(cores())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "1\n"
