"""Jobs for the tiny model, and what they publish, read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from job.result.artifact import EncodingResult, ObjectiveResult
from job.result.fetched import InputResult
from job.result.figures import FidelityResult
from job.result.result import ArtifactResult, GateResult, Result
from tests.conftest import Run, paredown

PAGES = {"report.html", "report.md"}
# What a run that fails leaves.
FAILED = {"failure.json", *PAGES}


@dataclass(frozen=True)
class Published:
    """A run that has ended, and what it left."""

    run: Run
    manifest: Path
    folder: Path
    result: dict[str, Any]

    def artifact(self, name: str) -> dict[str, Any]:
        """What the result says of an artifact, by its variant or stage."""
        return next(it for it in self.result["artifacts"] if name in (it["variant"], it["stage"]))


def publish_all(
    jobs: Mapping[str, dict[str, Any]], tiny: Path, folder: Path
) -> dict[str, Published]:
    """Run jobs as one batch, so that TensorFlow is imported once for several; read back each."""
    runs = run_together(jobs, tiny, folder)
    published = {}
    for name, run in runs.items():
        out = folder / "done" / _job_name(name)
        assert (out / "result.json").exists(), run.err
        published[name] = Published(run, folder / name / "manifest.json", out, read_result(out))
    return published


def run_together(
    jobs: Mapping[str, dict[str, Any]], tiny: Path, folder: Path, **options: Any
) -> dict[str, Run]:
    """Run jobs as one batch; of each the exit code, its events, and its error where it has one.

    The results are in ``done`` in the folder; each job has a manifest of its own in a folder of its
    name, too, which is the same job alone.
    """
    asked = []
    for name, sections in jobs.items():
        place = {"destination": {"uri": f"../done/{_job_name(name)}"}}
        manifest = write_manifest(folder / name, tiny, **sections | place)
        alone = json.loads(manifest.read_text())
        asked.append({**alone, "name": _job_name(name)})
        del asked[-1]["destination"]
    batch = {"kind": "batch", "name": "together", "jobs": asked, "destination": {"uri": "../done"}}
    (folder / "together").mkdir()
    (folder / "together" / "batch.json").write_text(json.dumps(batch | {"workers": 2}))
    ended = paredown("run", folder / "together" / "batch.json", **options)
    assert ended.events[-1]["event"] == "batch_finished", ended.err
    rows = strict_json((folder / "done" / "summary.json").read_text())["jobs"]
    codes = {row["name"]: row["exit_code"] for row in rows}
    runs = {}
    for name in map(_job_name, jobs):
        events = [it for it in ended.events if it.get("job") == name]
        failed = [it for it in events if it["event"] == "job_failed"]
        lines = [json.dumps(it) for it in events if it not in failed]
        runs[name] = Run(codes[name], "\n".join(lines), "\n".join(map(json.dumps, failed)))
    return {name: runs[_job_name(name)] for name in jobs}


def _job_name(name: str) -> str:
    """Of a case: what the manifest takes as a name."""
    return name.replace(" ", "-")


def write_manifest(folder: Path, tiny: Path, **sections: Any) -> Path:
    """Write a manifest for the tiny model into ``folder``; keywords replace its sections."""
    document = {
        "name": "tiny",
        "model": {"uri": str(tiny / "model.h5")},
        "dataset": {"type": "npz", "uri": str(tiny / "data.npz"), "scale": 1 / 255},
        "training": {"epochs": 2, "batch_size": 32},
        "destination": {"uri": "out"},
    } | sections
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "manifest.json"
    path.write_text(json.dumps(document))
    return path


def strict_json(text: str) -> Any:
    """Parse JSON as the standard has it: without NaN and Infinity, which Python would take."""

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    return json.loads(text, parse_constant=refuse)


def read_result(destination: Path) -> dict[str, Any]:
    """What ``result.json`` at a destination says."""
    return dict(strict_json((destination / "result.json").read_text()))


def run_all(commands: Mapping[str, Sequence[str | Path]], **options: Any) -> dict[str, Run]:
    """Run several commands, two at a time; give how each ended, by its key."""
    with ThreadPoolExecutor(2) as pool:
        ended = pool.map(lambda arguments: paredown(*arguments, **options), commands.values())
        return dict(zip(commands, ended, strict=True))


def digestible(destination: Path) -> dict[str, bytes]:
    """Every file of a destination that has to be the same in each run: name -> bytes. The result
    and its pages have times.
    """
    return {
        path.name: path.read_bytes()
        for path in sorted(destination.iterdir())
        if path.name not in ("result.json", *PAGES)
    }


def make_result(destination: Path | None = None) -> Result:
    """A result of two artifacts with an encoding each; its files too where a folder is given."""
    files = {
        name: name.encode() * times
        for name, times in (
            ("baseline.h5", 1000),
            ("baseline.h5.zip", 100),
            ("int8.tflite", 90),
            ("int8.tflite.zip", 50),
        )
    }
    if destination is not None:
        destination.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            (destination / name).write_bytes(content)

    def described(name: str) -> dict[str, Any]:
        digest = hashlib.sha256(files[name]).hexdigest()
        return {"path": name, "bytes": len(files[name]), "sha256": digest}

    baseline, small = (
        ArtifactResult(
            stage=stage,
            variant=variant,
            format=form,
            encoded={"zip": EncodingResult(**described(f"{name}.zip"))},
            sparsity=0.0,
            metrics={"loss": 0.25, "accuracy": accuracy},
            **described(name),
        )
        for stage, variant, form, name, accuracy in (
            ("baseline", None, "h5", "baseline.h5", 0.9876),
            ("quantize", "int8", "tflite", "int8.tflite", 0.98),
        )
    )
    gates = [
        GateResult(gate={}, artifact="int8", value=1, limit=2, passed=passed, explanation=text)
        for passed, text in ((True, "int8: small"), (False, "int8: [bad]"))
    ]
    return Result(
        name="tiny",
        status="gate_missed",
        run_id="f" * 64,
        started_at="2026-01-01T00:00:00+00:00",
        seconds=1.0,
        manifest={},
        inputs={"model": InputResult(uri="model.h5", bytes=11000, sha256="e" * 64)},
        versions={},
        environment={},
        stages=[],
        objective={"out": ObjectiveResult(loss="huber", metrics=["accuracy"], reason="because")},
        epochs=[],
        layers=[],
        artifacts=[baseline, small],
        gates=gates,
    )


def closeness(
    agreement: float | None, snr_db: float | None, *, same: bool = False, synthetic: bool = False
) -> FidelityResult:
    """How close an output is to the baseline's, on 100 rows."""
    return FidelityResult(
        rows=100,
        agreement=agreement,
        cosine_similarity=1.0,
        mean_squared_error=0.0,
        snr_db=snr_db,
        is_identical=same,
        synthetic=synthetic,
    )
