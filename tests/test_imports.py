"""What answers at once imports nothing heavy: looked up in ``sys.modules`` of a new process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT

HEAVY = {
    "tensorflow",
    "tf_keras",
    "keras",
    "tensorflow_model_optimization",
    "ai_edge_litert",
    "numpy",
    "h5py",
}
OF_PAGES = {"matplotlib", "jinja2"}
QUICKSTART = "manifests/quickstart/quickstart.json"
COMMAND = """
import sys
sys.argv = {argv}
from job.cli import main
try:
    main()
except SystemExit as end:
    code = end.code
print()
import json
print(json.dumps([code, sorted(sys.modules)]))
"""


def modules_after(code: str) -> tuple[int, set[str]]:
    """Run some code that prints an exit code and modules; give both."""
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    status, modules = json.loads(done.stdout.splitlines()[-1])
    return status, {module.split(".")[0] for module in modules}


@pytest.mark.parametrize(
    "argv",
    [
        ["--help"],
        ["--version"],
        ["run", "--help"],
        ["validate", QUICKSTART],
        ["schema"],
        ["kubernetes", "--help"],
        ["kubernetes", "manifests/kubernetes/batch.json", "--image", "x"],
        ["run", "nowhere.json"],
        ["run", QUICKSTART, "--set", "model.uri=nowhere.h5"],
        ["report", "--help"],
        ["report", "nowhere.json"],
    ],
    ids=" ".join,
)
def test_a_command_that_does_no_work_imports_nothing_heavy(argv: list[str], tmp_path: Path) -> None:
    """Neither TensorFlow nor what belongs to it, nor NumPy; matplotlib and Jinja2 only for a page,
    which a run has that fails.
    """
    output = ["--output", str(tmp_path)] if argv[:2] == ["run", QUICKSTART] else []
    code, modules = modules_after(COMMAND.format(argv=["paredown", *argv, *output]))
    assert code in ((2, 3) if argv[0] in ("run", "report") and argv[1] != "--help" else (0,))
    assert modules & HEAVY == set()
    assert output or modules & OF_PAGES == set()
    assert "typer" in modules


@pytest.mark.parametrize(
    "module", ["job.pipeline", "job.run.supervisor", "job.report.tables", "job.result"]
)
def test_the_parents_modules_import_nothing_heavy(module: str) -> None:
    """The process that holds the credentials never has TensorFlow in it."""
    code = f"import json, sys, {module}; print(json.dumps([0, sorted(sys.modules)]))"
    _, modules = modules_after(code)
    assert modules & HEAVY == set()
    assert "job" in modules


def test_the_childs_modules_do_import_tensorflow() -> None:
    """The tests above would see it: this is what they look for."""
    code = "import json, sys, job.worker.transform; print(json.dumps([0, sorted(sys.modules)]))"
    _, modules = modules_after(code)
    assert {"tensorflow", "tf_keras", "ai_edge_litert", "numpy"} <= modules


def test_validating_looks_at_no_model_and_no_data() -> None:
    """Validation imports no room that could: neither the store of files, nor the worker."""
    code = COMMAND.format(argv=["paredown", "validate", QUICKSTART])
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules = set(json.loads(done.stdout.splitlines()[-1])[1])
    assert modules.isdisjoint({"job.storage.local", "job.run.supervisor", "job.pipeline"})
