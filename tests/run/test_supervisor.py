"""The child process: least privilege, and no imports from the current folder."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import paredown
from tests.support.published import read_result, write_manifest
from tests.support.rare import rare
from tests.support.runs import CREDENTIALS, PAREDOWN, Watched, is_gone

# Modules that paredown, TensorFlow or Python itself import by name.
SHADOWED = (
    "numpy",
    "tensorflow",
    "tf_keras",
    "h5py",
    "typer",
    "pydantic",
    "rich",
    "zopfli",
    "brotli",
    "json",
    "random",
    "secrets",
    "job",
    "sitecustomize",
    "usercustomize",
)


def test_the_child_holds_no_credentials(tiny: Path, tmp_path: Path) -> None:
    """Its environment is read while it runs; the parent's, which is given them, has them."""
    watched = Watched("run", write_manifest(tmp_path, tiny), env=CREDENTIALS)
    watched.until("stage_started", "load")
    child = watched.child()
    environments = [Path(f"/proc/{pid}/environ").read_bytes() for pid in (watched.pid, child)]
    watched.process.terminate()
    assert watched.finish().code == 143
    assert is_gone(child)
    for name in CREDENTIALS:
        assert f"{name}=canary".encode() in environments[0]
        assert name.encode() not in environments[1]
    assert b"canary" not in environments[1]
    assert b"PATH=" in environments[1]


@rare
def test_no_files_are_left_in_the_home_folder(tiny: Path, tmp_path: Path) -> None:
    """In a container it is where the results are mounted; Keras would make a folder there."""
    (tmp_path / "home").mkdir()
    environment = os.environ | {"HOME": str(tmp_path / "home")}
    for command, path in (
        ("run", write_manifest(tmp_path, tiny)),
        ("inspect", tiny / "model.h5"),
    ):
        done = paredown(command, path, env=environment)
        assert done.code == 0, done.err
        assert list((tmp_path / "home").iterdir()) == []


@rare
def test_a_users_settings_of_keras_change_nothing(tiny: Path, tmp_path: Path) -> None:
    """With them convolutions would fail on a CPU; Keras writes such a file where there is none."""
    settings = tmp_path / "home" / ".keras" / "keras.json"
    settings.parent.mkdir(parents=True)
    text = json.dumps({"floatx": "float64", "epsilon": 0.5, "image_data_format": "channels_first"})
    settings.write_text(text)
    environment = os.environ | {"HOME": str(tmp_path / "home")}
    done = paredown("run", write_manifest(tmp_path, tiny), env=environment)
    assert done.code == 0, done.err
    assert settings.read_text() == text
    assert {it["artifact"] for it in done.events[-1]["artifacts"]} >= {"baseline", "prune"}


@pytest.fixture(scope="module")
def canaries(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with modules in it that write a file when they are imported, and a manifest."""
    folder = tmp_path_factory.mktemp("canaries")
    for name in SHADOWED:
        code = f"open({str(folder / 'imported')!r}, 'a').write({name!r} + chr(10))\n"
        (folder / f"{name}.py").write_text(code)
    write_manifest(folder, tiny)
    return folder


def test_nothing_in_the_current_folder_is_imported(canaries: Path) -> None:
    """A whole run of the installed command, beside a ``numpy.py`` and others."""
    done = subprocess.run(
        [PAREDOWN, "run", "manifest.json"],
        cwd=canaries,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert read_result(canaries / "out")["status"] == "succeeded"
    assert not (canaries / "imported").exists()


def test_the_canaries_would_notice_an_import(canaries: Path) -> None:
    """The same modules, imported from the folder."""
    python = PAREDOWN.parent / "python"
    subprocess.run([python, "-c", "import brotli"], cwd=canaries, check=True)
    assert "brotli" in (canaries / "imported").read_text()
