"""Whole runs on the tiny model; the artifacts are read back from where a user finds them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from tests.conftest import MakeManifest, paredown


def test_a_run_publishes_every_file_with_its_digest(manifest: MakeManifest, tmp_path: Path) -> None:
    """What result.json names is there, with the bytes and the digest that it says."""
    done = paredown("run", manifest())
    assert done.code == 0, done.err
    result = json.loads((tmp_path / "out" / "result.json").read_text())
    assert result["status"] == "succeeded"
    named = {"result.json", "manifest.json", "report.html", "report.md"}
    for artifact in result["artifacts"]:
        for file in [artifact, *artifact["encoded"].values()]:
            content = (tmp_path / "out" / file["path"]).read_bytes()
            assert len(content) == file["bytes"]
            assert hashlib.sha256(content).hexdigest() == file["sha256"]
            named.add(file["path"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == named
