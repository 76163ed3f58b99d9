"""Files that would do harm: none of them runs, takes memory or time, or ends in anything but 3."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.support.hostile import HOSTILE
from tests.support.published import FAILED, write_manifest
from tests.support.rare import EVERY

MAX_SECONDS = 10
MAX_MEGABYTES = 500


# A small process in between: a child's peak counts from the size of the process that started it.
MEASURE = """
import json, resource, subprocess, sys
done = subprocess.run(sys.argv[1:], capture_output=True, text=True)
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
print(json.dumps([done.returncode, done.stdout, done.stderr, peak / 1024]))
"""


@dataclass(frozen=True)
class Ended:
    """How a command ended, and what it took."""

    code: int
    out: str
    err: str
    megabytes: float
    """The largest peak of the command and its children."""
    seconds: float = 0.0


def measured(*arguments: str | Path) -> Ended:
    """Run the command as a user does, and measure it."""
    command = [sys.executable, "-m", "job", *map(str, arguments)]
    started = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-S", "-c", MEASURE, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return replace(Ended(*json.loads(done.stdout)), seconds=time.monotonic() - started)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, Path]]:
    """Every hostile file, and the canary that its code would write."""
    made = {}
    for number, (name, (make, _)) in enumerate(HOSTILE.items()):
        folder = tmp_path_factory.mktemp(f"hostile{number}")
        canary = folder / "canary"
        made[name] = make(folder, canary), canary
        canary.unlink(missing_ok=True)  # making a Lambda calls it
    return made


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused(
    name: str, files: dict[str, tuple[Path, Path]], tiny: Path, tmp_path: Path
) -> None:
    """By inspect and by run: exit code 3, one clear error, no canary, little memory and time."""
    path, canary = files[name]
    manifest = write_manifest(tmp_path, tiny, model={"uri": str(path)})
    commands: list[tuple[str | Path, ...]] = [("run", manifest)]
    if EVERY:
        commands += [("inspect", path), ("inspect", path, "--json")]
    for arguments in commands:
        ended = measured(*arguments)
        assert ended.code == 3, ended.err
        assert "Traceback" not in ended.err
        assert HOSTILE[name][1] in ended.out + ended.err
        assert str(path) in ended.err
        assert ended.seconds < MAX_SECONDS
        assert ended.megabytes < MAX_MEGABYTES
        assert not canary.exists()
        assert not (canary.parent.parent / canary.name).exists()
    assert {path.name for path in (tmp_path / "out").glob("*")} <= FAILED


def test_dangers_are_listed_as_data(files: dict[str, tuple[Path, Path]]) -> None:
    """``inspect --json`` names what could run, and says nothing of what it did not load."""
    path, _ = files["Lambda in a nested model"]
    found = json.loads(measured("inspect", path, "--json").out)
    assert "Lambda" in found["dangers"][0]
    assert "evil" in found["dangers"][0]
    assert (found["layers"], found["variants"]) == ([], {})
