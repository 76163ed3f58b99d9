"""What is shown at the end: the artifacts, how small and how good they are; or what a model is."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from job.events import Event
from job.report import layer_chart, trials
from job.report.aligned import aligned
from job.report.screen import Table
from job.result.artifact import TensorResult
from job.result.inspected import InspectResult
from job.result.result import RESULT_FILE, ArtifactResult, Result, metric_key, ratio
from job.text import printable

SIZES = ("bytes", "smallest\nencoding", "times\nsmaller")
# Shown if the width allows, the first one first.
OPTIONAL = ("sparsity", "latency\nms")
# How close a file is to the baseline: figure -> header.
FIDELITY = {"agreement": "agreement", "snr_db": "SNR dB"}
SYNTHETIC = "synthetic: there are no data, so all figures are of inputs that were drawn at random"
# Kernels that are named in a line.
MOST_KERNELS = 4
HEAD = ("layer", "type", "output", "parameters", "can be pruned")


def closing_table(result: Result) -> Table:
    """A row for each artifact; the metrics are between the formats and the sizes."""
    metrics = _metrics(result) if result.baseline.metrics else {}
    closeness = [] if metrics else _closeness(result)
    rows = [
        [
            artifact.name,
            artifact.format,
            *(f"{artifact.metrics[name]:.4f}" for name in metrics.values()),
            *(_close(artifact, output, figure) for _, output, figure in closeness),
            f"{artifact.bytes:,}",
            f"{artifact.smallest[1]:,} {artifact.smallest[0]}",
            _times_smaller(result, artifact),
            f"{artifact.sparsity:.3f}",
            _latency(artifact),
            artifact.sha256[:8],
        ]
        for artifact in result.artifacts
    ]
    heads = [*metrics, *(head for head, *_ in closeness)]
    columns = ["stage", "format", *heads, *SIZES, *OPTIONAL, "SHA-256"]
    return Table(result.name, columns, rows, _notes(result), OPTIONAL)


def _metrics(result: Result) -> dict[str, str]:
    """Header -> name of a metric. The table has room for two, of several outputs the first ones;
    result.json has them all.
    """
    outputs = result.objective
    listed = [
        (place, output, metric)
        for output, objective in outputs.items()
        for place, metric in enumerate(objective.metrics)
    ]
    shown = sorted(listed, key=lambda row: row[0])[:2]
    return {
        metric if len(outputs) == 1 else f"{output}\n{metric}": metric_key(metric, output, outputs)
        for _, output, metric in shown
    }


def _closeness(result: Result) -> list[tuple[str, str, str]]:
    """Header, output and figure: how close files are to the baseline, where there are no labels."""
    outputs = list(result.artifacts[-1].fidelity.items())
    listed = [
        (place, output, figure)
        for output, found in outputs
        for place, figure in enumerate(FIDELITY)
        if getattr(found, figure) is not None or found.is_identical
    ]
    shown = sorted(listed, key=lambda row: row[0])[:2]
    return [
        (FIDELITY[figure] if len(outputs) == 1 else f"{output}\n{FIDELITY[figure]}", output, figure)
        for _, output, figure in shown
    ]


def _close(artifact: ArtifactResult, output: str, figure: str) -> str:
    found = artifact.fidelity.get(output)
    if found is None:
        return "-"
    value = getattr(found, figure)
    if value is None:
        return "equal" if found.is_identical else "-"
    return f"{value:.4f}" if figure == "agreement" else f"{value:.1f}"


def _times_smaller(result: Result, artifact: ArtifactResult) -> str:
    """Not shown for a baseline file that is larger than its model, because of optimizer state or
    a SavedModel's traces: sizes are compared with the model alone.
    """
    found = ratio(result.baseline, artifact)
    return "-" if artifact.stage == "baseline" and found < 1 else f"{found:.1f}"


def _latency(artifact: ArtifactResult) -> str:
    """The median on one thread; ``tf`` marks those of TensorFlow, which are not comparable."""
    found = artifact.latency_ms.get("one_thread")
    if found is None:
        return ""
    return f"{found.median:.3g}{' tf' if found.runtime == 'tensorflow' else ''}"


def _notes(result: Result) -> list[str]:
    """The lines under the table: what was resumed, what sizes are compared with, what a search
    tried, the chosen artifact, what the small files need, and the gates.
    """
    resumed = f"taken from a run that was stopped: {', '.join(result.resumed)}"
    base = result.baseline
    compared = (
        f"sizes are compared with {base.reference:,} bytes: those of the baseline that are the "
        "model itself"
    )
    return [
        *[SYNTHETIC] * _is_synthetic(result),
        *[resumed] * bool(result.resumed),
        *[compared] * (base.reference != base.bytes),
        *trials.lines(result),
        *_chosen_line(result),
        *_runtimes(result),
        *_arenas(result),
        *_other_bits(result),
        *gate_lines(result),
    ]


def _runtimes(result: Result) -> list[str]:
    """Which packed and slim files need which runtime, the oldest that runs them."""
    found: dict[str, list[str]] = {}
    for artifact in result.artifacts:
        if artifact.packed is not None and artifact.runtime is not None:
            found.setdefault(artifact.runtime, []).append(artifact.path)
    return [f"runs in {runtime} and newer: {', '.join(it)}" for runtime, it in found.items()]


def _arenas(result: Result) -> list[str]:
    """The memory that the tensors of files for microcontrollers need."""
    variants = result.manifest.get("quantize") or []
    micro = {it.get("name") or it["type"] for it in variants if it.get("target") == "tflm"}
    return [
        f"{it.path} needs {it.arena_bytes:,} bytes of memory for its tensors, and the interpreter's"
        for it in result.artifacts
        if it.variant in micro and it.arena_bytes is not None
    ]


def _other_bits(result: Result) -> list[str]:
    """Kernels that have more bits than were asked for; result.json has the reasons."""
    found = []
    for artifact in result.artifacts:
        kernels = artifact.packed.kernels if artifact.packed is not None else []
        wider = [
            f"{it.layer} ({it.bits}, not {it.asked_bits})"
            for it in kernels
            if it.bits > it.asked_bits
        ]
        if wider:
            shown = ", ".join(wider[:MOST_KERNELS])
            more = f" and {len(wider) - MOST_KERNELS} more" * (len(wider) > MOST_KERNELS)
            found.append(f"{artifact.path}: kernels of more bits than asked for: {shown}{more}")
    return found


def _is_synthetic(result: Result) -> bool:
    """Whether figures are of inputs that were drawn at random."""
    return any(it.source == "synthetic" for it in result.splits.values())


def _chosen_line(result: Result) -> list[str]:
    chosen, artifact = result.chosen, result.chosen_artifact
    if chosen is None or artifact is None:
        return []
    times = f"{ratio(result.baseline, artifact):.1f} times smaller"
    why = ", the smallest that passes its gates" if result.gates else ", the smallest"
    return [f"chosen: {chosen.path} ({chosen.bytes:,} bytes, {times}){why}"]


def gate_lines(result: Result) -> list[str]:
    """The verdicts that decided: those on the chosen artifact, those of gates that must hold
    whichever is chosen, and why smaller artifacts were not chosen; all of them if none was.
    ``result.json`` has every one.
    """
    chosen = result.chosen_artifact
    sizes = {it.name: it.smallest[1] for it in result.artifacts}
    lines = []
    for verdict in result.gates:
        if chosen is None or verdict.artifact == chosen.name or verdict.is_binding:
            state = "passed" if verdict.passed else "MISSED"
            lines.append(f"gate {state}: {verdict.explanation}")
        elif not verdict.passed and sizes[verdict.artifact] < sizes[chosen.name]:
            lines.append(f"smaller, but not chosen: {verdict.explanation}")
    return lines


def finished_event(result: Result, destination: str, *, already_done: bool) -> Event:
    """The event that a run ends with: the result, for programs."""
    return {
        "event": "run_finished",
        "name": result.name,
        "status": result.status,
        "already_done": already_done,
        "run_id": result.run_id,
        "seconds": result.seconds,
        "waited_s": result.waited_s,
        "resumed": result.resumed,
        "result": f"{destination}/{RESULT_FILE}",
        # A run that is done already has shown its warnings; result.json has them.
        "warnings": [] if already_done else result.warnings,
        "artifacts": [
            {
                "artifact": artifact.name,
                "format": artifact.format,
                "path": artifact.path,
                "bytes": artifact.bytes,
                "sha256": artifact.sha256,
                "smallest_encoding": artifact.smallest[0],
                "smallest_bytes": artifact.smallest[1],
                "ratio": round(ratio(result.baseline, artifact), 2),
                "metrics": artifact.metrics,
                "runtime": artifact.runtime,
            }
            for artifact in result.artifacts
        ],
        "gates": [gate.model_dump(mode="json") for gate in result.gates],
        "chosen": result.chosen and result.chosen.model_dump(mode="json"),
    }


def inspection_json(result: InspectResult) -> str:
    """JSON for a program, in ASCII, since it may be shown on a terminal."""
    return json.dumps(json.loads(result.model_dump_json()), indent=2)


def inspection_text(result: InspectResult) -> str:
    """All of it, as plain text."""
    return "\n".join(printable(line).replace("\n", " ") for line in _lines(result))


def _lines(result: InspectResult) -> Iterator[str]:
    yield f"{result.uri}"
    yield f"  format      {result.format}, saved by Keras {result.keras_version}"
    yield f"  size        {result.bytes:,} bytes, SHA-256 {result.sha256}"
    if result.dangers:
        yield "  dangers     nothing of it was loaded:"
        yield from (f"    {danger}" for danger in result.dangers)
        return
    yield "  dangers     none found"
    yield f"  inputs      {_tensors(result.inputs)}"
    yield f"  outputs     {_tensors(result.outputs)}"
    prunable = sum(layer.prunable_weights for layer in result.layers if layer.prunable)
    yield f"  parameters  {result.parameters:,}, of which {prunable:,} can be pruned"
    yield from (f"  to choose   {choice}" for choice in result.choices)
    yield ""
    yield from aligned(
        [
            HEAD,
            *(
                (
                    layer.name,
                    layer.type,
                    layer.output_shape,
                    f"{layer.parameters:,}" if layer.parameters else "",
                    f"{layer.prunable_weights:,} weights"
                    if layer.prunable
                    else (f"no: {layer.reason}" if layer.reason else ""),
                )
                for layer in result.layers
            ),
        ]
    )
    if result.variants:
        yield ""
        yield "quantize variants"
        width = max(len(name) for name in result.variants)
        yield from (f"  {name:<{width}}  {outcome}" for name, outcome in result.variants.items())
    if result.sensitivity:
        yield ""
        yield layer_chart.heading(result.sensitivity)
        yield from aligned(layer_chart.summary_rows(result.sensitivity))
        yield ""
        yield from layer_chart.chart(result.sensitivity)
    yield from (f"warning: {warning}" for warning in result.warnings)


def _tensors(tensors: Sequence[TensorResult]) -> str:
    return ", ".join(f"{it.name} {_shape(it.shape)} {it.dtype}" for it in tensors)


def _shape(shape: Sequence[int | None]) -> str:
    return "(" + ", ".join("any" if size is None else str(size) for size in shape) + ")"
