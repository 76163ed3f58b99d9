"""The tables of a model card; every number is a field of the result.

Bytes have thousands separators, figures four decimals, times one (milliseconds: three).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from job.pages.markdown import code, plain, table
from job.result.artifact import LayerResult
from job.result.figures import FidelityResult, IntervalResult
from job.result.result import ArtifactResult, GateResult, Result, ratio

EMPTY = ""


def figure(value: float | None) -> str:
    """A metric, or another figure."""
    return EMPTY if value is None else f"{value:.4f}"


def share(value: float | None) -> str:
    """A fraction, in percent."""
    return EMPTY if value is None else f"{100 * value:.1f} %"


def interval(found: Sequence[IntervalResult] | None) -> str:
    """The first interval, which is of 95 %."""
    return f"{found[0].low:.4f} to {found[0].high:.4f}" if found else EMPTY


def times_smaller(result: Result, artifact: ArtifactResult) -> str:
    """How many times smaller than the model that came in."""
    found = artifact.times_smaller
    return f"{ratio(result.baseline, artifact) if found is None else found:.1f}"


def headline(result: Result, artifact: ArtifactResult) -> str:
    """The model that came in, and the file that came out."""
    before = result.baseline
    rows = [
        ["File", code(before.path), code(artifact.smallest_path)],
        ["Bytes", f"{before.reference:,}", f"{artifact.smallest[1]:,}"],
        ["Times smaller", EMPTY, times_smaller(result, artifact)],
        ["Zeros among the weights", share(before.sparsity), share(artifact.sparsity)],
    ]
    rows += [
        [plain(name), *(_with_interval(it, name) for it in (before, artifact))]
        for name in artifact.metrics
    ]
    for output, close in artifact.fidelity.items():
        if close.agreement is not None:
            rows.append(
                [f"Agreement with the original, {plain(output)}", EMPTY, figure(close.agreement)]
            )
        elif close.snr_db is not None:
            rows.append([f"Signal to noise, {plain(output)}, dB", EMPTY, figure(close.snr_db)])
    return table(["", "Before", "After"], rows, (1, 2))


def _with_interval(artifact: ArtifactResult, metric: str) -> str:
    value, found = artifact.metrics.get(metric), interval(artifact.intervals.get(metric))
    return f"{figure(value)} ({found})" if found else figure(value)


def files(result: Result) -> str:
    """Every file that was written, plain and encoded, with its digest."""
    return table(
        ["File", "Of", "Form", "Bytes", "SHA-256"],
        [row for artifact in result.artifacts for row in _forms(artifact)],
        (3,),
    )


def _forms(artifact: ArtifactResult) -> Iterator[list[str]]:
    name = plain(artifact.name)
    yield _file(artifact.path, name, "plain", artifact.bytes, artifact.sha256)
    for codec, it in artifact.encoded.items():
        yield _file(it.path, name, codec, it.bytes, it.sha256)
    array = artifact.c_array
    if array is not None:
        yield _file(array.path, name, "C array", array.bytes, array.sha256)


def _file(path: str, name: str, form: str, size: int, digest: str) -> list[str]:
    return [code(path), name, plain(form), f"{size:,}", code(digest)]


def quality(result: Result) -> str:
    """Each metric of each file, and how much worse it is than the baseline's; empty for none."""
    rows = []
    for artifact in result.artifacts:
        for name, value in artifact.metrics.items():
            drop = artifact.drops.get(name)
            found = [interval(artifact.intervals.get(name)), figure(drop.value if drop else None)]
            cells = [plain(artifact.name), plain(name), figure(value), *found]
            rows.append([*cells, interval(drop.intervals if drop else None)])
    heads = ["File", "Metric", "Value", "95 % interval", "Worse by", "95 % interval of that"]
    return table(heads, rows, (2, 4)) if rows else ""


def fidelity(result: Result) -> str:
    """How close each output of each file is to the baseline's; empty where it is not known."""
    rows = [
        [plain(artifact.name), plain(output), *_closeness(close)]
        for artifact in result.artifacts
        for output, close in artifact.fidelity.items()
    ]
    heads = ["File", "Output", "Rows", "Agreement", "95 % interval", "Cosine similarity"]
    heads += ["Mean squared error", "Signal to noise, dB"]
    return table(heads, rows, (2, 3, 5, 6, 7)) if rows else ""


def _closeness(close: FidelityResult) -> list[str]:
    return [
        f"{close.rows:,}",
        figure(close.agreement),
        interval(close.intervals.get("agreement")),
        figure(close.cosine_similarity),
        f"{close.mean_squared_error:.4g}",
        figure(close.snr_db),
    ]


def gates(result: Result) -> list[str]:
    """The verdicts that decided, then those on the other files; empty where there is no gate."""
    name = result.chosen.artifact if result.chosen is not None else None
    decided = [it for it in result.gates if name is None or it.artifact == name]
    others = [it for it in result.gates if it not in decided]
    said = f"All gates that apply to {plain(name)} passed." if name is not None else ""
    return [
        *([said] if decided and said else []),
        *([_verdicts(decided)] if decided else []),
        *(["On the other files:", _verdicts(others)] if others else []),
    ]


def _verdicts(found: Sequence[GateResult]) -> str:
    rows = [
        ["passed" if it.passed else "**missed**", plain(it.artifact), plain(it.explanation)]
        for it in found
    ]
    return table(["Gate", "File", "Figures"], rows)


def layers(result: Result, artifact: ArtifactResult) -> str:
    """What was done with each layer that has weights; its bits are those of the artifact."""
    rows = [_layer(it, artifact.layer_bits.get(it.name)) for it in result.layers]
    heads = ["Layer", "Type", "Kernel", "Parameters", "Bits", "Target zeros", "Zeros", "Why"]
    return table(heads, rows, (3, 4, 5, 6)) if rows else ""


def _layer(layer: LayerResult, bits: int | None) -> list[str]:
    return [
        plain(layer.name),
        plain(layer.type),
        " x ".join(map(str, layer.kernel_shape or [])),
        f"{layer.parameters:,}",
        EMPTY if bits is None else str(bits),
        share(layer.target_sparsity),
        share(layer.achieved_sparsity),
        plain(layer.reason if layer.pruned else f"not pruned: {layer.reason}"),
    ]


def latency(result: Result) -> str:
    """Milliseconds for one row; empty where nothing was timed."""
    rows = [
        [plain(artifact.name), it.runtime, f"{it.threads:,}", f"{it.median:.3f}", f"{it.p90:.3f}"]
        for artifact in result.artifacts
        for it in artifact.latency_ms.values()
    ]
    heads = ["File", "Runtime", "Threads", "Median, ms", "90th percentile, ms"]
    return table(heads, rows, (2, 3, 4)) if rows else ""
