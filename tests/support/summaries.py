"""Summaries of batches, as large and as odd as asked for."""

from __future__ import annotations

from job.batch.totals import summarize
from job.result.summary import Row, Summary

HOSTILE_NAMES = (
    "<script>alert(1)</script>",
    "\"><img src=x onerror=alert(1)> 'quoted'",
    "=cmd|' /C calc'!A0",
    "\u05e9\u05dc\u05d5\u05dd \u202egpj.exe",
    "x" * 300,
    "\u6a21\u578b",
    "a\nb",
    "%2e%2e",
    "javascript:alert(1)",
    "//example.org",
    "{{ 7 * 7 }} ${x} $\\frac{1}{2}$ #040404",
)


def job_row(name: str, number: int = 0) -> Row:
    """A row: of eight jobs one has failed, one is pending, and one has missed a gate."""
    model = f"s3://models/{name}.h5"
    if number % 8 == 5:
        return Row(
            name=name,
            model=model,
            status="failed",
            exit_code=3,
            reason=f"The model can't be read: it is no HDF5 file. ({model})",
            to_do="Check the file.",
            seconds=1.25,
            report=f"{name}/report.html",
        )
    if number % 8 == 6:
        return Row(name=name, model=model, status="pending")
    is_missed = number % 8 == 7
    size, drop = 100_000 + 977 * number, 0.03 if is_missed else (number % 11 - 2) / 1000
    return Row(
        name=name,
        model=model,
        status="gate_missed" if is_missed else "succeeded",
        exit_code=5 if is_missed else 0,
        reason="gate missed: int8: accuracy is worse by 0.03; at most 0.01 worse" * is_missed,
        note="the baseline is no better than a constant answer" * (number % 8 == 4),
        bytes=size,
        artifact="int8",
        passes=not is_missed,
        report=f"{name}/report.html",
        path=f"{name}/int8.tflite.zip",
        encoding="zip",
        smallest_bytes=size // (6 + number % 9),
        ratio=round(size / (size // (6 + number % 9)), 2),
        metric="accuracy" if number % 3 else "mean_squared_error",
        baseline_quality=0.95,
        quality=0.95 - drop,
        drop=drop,
        agreement=0.99,
        sparsity=0.796123,
        latency_ms=0.25 + number / 100,
        runtime="litert" if number % 4 else "tensorflow",
        seconds=10.5 + number,
        waited_s=1.5,
        run_id="0" * 64,
        settings={
            "dataset.scale": 0.5,
            "training.epochs": number % 5 + 1,
            "quantize": [{"type": "int8"}],
            "prune.schedule.~/x": number,
        },
    )


def batch_summary(count: int, names: tuple[str, ...] = ()) -> Summary:
    """The summary of so many jobs, or of jobs of these names."""
    called = names or tuple(f"team-{number % 7}-model-{number:04d}" for number in range(count))
    made = summarize("vision", [job_row(name, number) for number, name in enumerate(called)])
    return made.model_copy(update={"made_at": "2026-11-30T12:00:00+00:00"})
