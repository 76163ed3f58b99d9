"""The layout: modules are small, have tests that are found by name, and names of their own."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

from tests.conftest import ROOT

JOB = ROOT / "job"
# What has no test of its own name: where it is tested. End-to-end tests run all of it, too.
TESTED_IN = {
    "batch/dispatch.py": "end_to_end/test_batch.py",
    "batch/records.py": "end_to_end/test_batch_troubles.py",
    "batch/run.py": "end_to_end/test_batch.py",
    "batch/summarize.py": "end_to_end/test_batch.py",
    "events.py": "report/test_screen.py",
    "kubernetes/job.py": "kubernetes/test_render.py",
    "kubernetes/workload.py": "kubernetes/test_checks.py",
    "manifest/cluster.py": "manifest/test_consistency.py",
    "manifest/compress.py": "stages/test_codecs.py",
    "manifest/datasets.py": "datasets/test_types.py",
    "manifest/fields.py": "manifest/test_job.py",
    "manifest/gates.py": "metrics/test_gates.py",
    "manifest/prune.py": "manifest/test_job.py",
    "manifest/report.py": "test_pipeline.py",
    "manifest/quantize.py": "stages/test_quantize.py",
    "manifest/searchable.py": "manifest/test_search.py",
    "manifest/storage.py": "manifest/test_job.py",
    "manifest/training.py": "manifest/test_job.py",
    "result/training.py": "end_to_end/test_outputs.py",
    "metrics/artifact.py": "end_to_end/test_outputs.py",
    "models/formats.py": "models/test_saved_model.py",
    "models/keras3_adapters.py": "models/test_keras3_layers.py",
    "models/keras3_graph.py": "models/test_keras3.py",
    "models/keras3_masked_layers.py": "models/test_keras3_masks.py",
    "pages/preload.py": "end_to_end/test_pages.py",
    "report_command.py": "end_to_end/test_pages.py",
    "run/documents.py": "end_to_end/test_pages.py",
    "run/failed.py": "end_to_end/test_pages.py",
    "objective/calls.py": "objective/test_endings.py",
    "objective/evidence.py": "objective/test_infer.py",
    "objective/function_rules.py": "objective/test_endings.py",
    "objective/layer_rules.py": "objective/test_endings.py",
    "objective/values.py": "objective/test_endings.py",
    "pages/card_metadata.py": "pages/test_model_card.py",
    "pages/card_tables.py": "pages/test_model_card.py",
    "pages/cpp_lines.py": "pages/test_usage.py",
    "pages/failed_page.py": "pages/test_job_page.py",
    "pages/rendered.py": "pages/test_job_page.py",
    "pages/flat_values.py": "pages/test_usage.py",
    "pages/kotlin_lines.py": "pages/test_usage.py",
    "pages/literals.py": "pages/test_usage.py",
    "pages/markdown.py": "pages/test_model_card.py",
    "pages/python_lines.py": "pages/test_usage.py",
    "pages/charts.py": "pages/test_job_page.py",
    "pages/curves.py": "pages/test_job_page.py",
    "pages/merit.py": "pages/test_job_page.py",
    "report/bars.py": "report/test_live.py",
    "result/failure.py": "batch/test_totals.py",
    "result/record.py": "report/test_tables.py",
    "result/specs.py": "datasets/test_types.py",
    "result/summary.py": "batch/test_totals.py",
    "result/layer_weights.py": "end_to_end/test_outputs.py",
    "result/fetched.py": "test_pipeline.py",
    "result/figures.py": "metrics/test_fidelity.py",
    "result/inspected.py": "worker/test_inspect.py",
    "result/packed.py": "stages/test_small_file.py",
    "result/result.py": "report/test_tables.py",
    "result/search.py": "report/test_trials.py",
    "run/work.py": "end_to_end/test_killed.py",
    "run/page_files.py": "end_to_end/test_pages.py",
    "run/earlier.py": "test_pipeline.py",
    "run/inputs.py": "test_pipeline.py",
    "run/inspect.py": "end_to_end/test_inspect.py",
    "run/job_run.py": "test_pipeline.py",
    "run/process.py": "run/test_supervisor.py",
    "run/publish.py": "test_pipeline.py",
    "safety/saved_model.py": "models/test_saved_model.py",
    "stages/kernel_records.py": "stages/test_small_file.py",
    "storage/backend.py": "storage/test_find.py",
    "storage/s3_client.py": "storage/test_servers.py",
    "storage/scratch_files.py": "end_to_end/test_refusals.py",
    "text.py": "report/test_screen.py",
    "tflite/alone.py": "stages/test_prove.py",
    "tflite/tidy.py": "stages/test_slim.py",
    "tflite/weights.py": "metrics/test_sparsity.py",
    "worker/allocate.py": "end_to_end/test_small_weights.py",
    "worker/aware.py": "end_to_end/test_small_weights.py",
    "worker/checkpoint_formats.py": "end_to_end/test_resume.py",
    "worker/clustering.py": "end_to_end/test_small_weights.py",
    "worker/context.py": "end_to_end/test_run.py",
    "worker/data_notes.py": "worker/test_splits.py",
    "worker/main.py": "run/test_supervisor.py",
    "worker/train.py": "end_to_end/test_resume.py",
    "worker/training_checkpoints.py": "end_to_end/test_resume.py",
    "worker/transform.py": "end_to_end/test_run.py",
    "worker/variants.py": "end_to_end/test_variants.py",
}
# One basename twice: what is asked and what carries it out, or the two sides of one thing.
TWO_SIDES = {
    *("compress.py", "gates.py", "job.py", "prune.py", "quantize.py"),
    *("artifact.py", "inspect.py", "load.py", "preprocess.py", "search.py", "sensitivity.py"),
    "training.py",
}
MOST_LINES = 300
MOST_ROOT_MODULES = 10


def modules() -> list[Path]:
    return [it for it in sorted(JOB.rglob("*.py")) if not it.name.startswith("__")]


def test_each_module_has_a_test_of_its_name_or_is_listed() -> None:
    """And what is listed has none, and is there, as the test is."""
    without = set()
    for module in modules():
        path = module.relative_to(JOB)
        if not (ROOT / "tests" / path.parent / f"test_{path.name}").exists():
            without.add(path.as_posix())
    assert without == TESTED_IN.keys()
    assert [it for it in TESTED_IN.values() if not (ROOT / "tests" / it).exists()] == []


def test_modules_are_small_and_few_stand_at_the_root() -> None:
    """A room that outgrows this is two rooms."""
    lines = {str(it): len(it.read_text().splitlines()) for it in modules()}
    assert {name: count for name, count in lines.items() if count > MOST_LINES} == {}
    assert len([*JOB.glob("[a-z]*.py"), JOB / "__main__.py"]) <= MOST_ROOT_MODULES


def test_no_two_modules_have_the_same_name_but_the_two_sides_of_one_thing() -> None:
    """A file is found by its name at the first guess."""
    count = Counter(it.name for it in modules())
    assert {name for name, times in count.items() if times > 1} == TWO_SIDES


def test_no_parameter_is_called_it() -> None:
    """A parameter says what it is."""
    found = []
    for module in modules():
        for node in ast.walk(ast.parse(module.read_text())):
            if isinstance(node, ast.FunctionDef | ast.Lambda):
                named = [*node.args.args, *node.args.kwonlyargs, *node.args.posonlyargs]
                found += [f"{module}:{node.lineno}" for it in named if it.arg == "it"]
    assert found == []
