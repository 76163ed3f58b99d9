"""The closing table, and the event that says the same to machines."""

from __future__ import annotations

import json

from job.report.tables import OPTIONAL, closing_table, finished_event
from job.result.figures import LatencyResult
from job.result.packed import KernelResult, PackedResult
from job.result.result import ChosenResult, GateResult, Result, ratio
from tests.support.published import make_result


def columns(result: Result) -> list[str]:
    """The header."""
    return list(closing_table(result).columns)


def rows(result: Result) -> list[list[str]]:
    """What is under it."""
    return [list(row) for row in closing_table(result).rows]


def notes(result: Result) -> list[str]:
    """The lines under the table."""
    return list(closing_table(result).notes)


def test_the_table_has_a_row_for_each_artifact() -> None:
    """Under a head with the metrics between formats and sizes; the loss is no metric."""
    result = make_result()
    assert columns(result) == [
        "stage",
        "format",
        "accuracy",
        "bytes",
        "smallest\nencoding",
        "times\nsmaller",
        *OPTIONAL,
        "SHA-256",
    ]
    shown = rows(result)
    assert [row[:6] for row in shown] == [
        ["baseline", "h5", "0.9876", "11,000", "1,500 zip", "7.3"],
        ["int8", "tflite", "0.9800", "990", "750 zip", "14.7"],
    ]
    assert [row[-1] for row in shown] == [it.sha256[:8] for it in result.artifacts]


def test_the_table_has_room_for_two_metrics() -> None:
    """The result has them all."""
    result = make_result()
    metrics = ["accuracy", "loss", "auc"]
    many = result.objective["out"].model_copy(update={"metrics": metrics})
    assert columns(result.model_copy(update={"objective": {"out": many}}))[2:4] == metrics[:2]


def test_of_several_outputs_the_first_metrics_are_shown() -> None:
    """Each output's first one, before any second one."""
    result = make_result()
    only = result.objective["out"]
    several = {
        "digit": only.model_copy(update={"metrics": ["accuracy", "auc"]}),
        "angle": only.model_copy(update={"metrics": ["mean_absolute_error"]}),
    }
    metrics = {"digit_accuracy": 0.5, "digit_auc": 0.25, "angle_mean_absolute_error": 7.0}
    artifacts = [it.model_copy(update={"metrics": metrics}) for it in result.artifacts]
    shown = result.model_copy(update={"objective": several, "artifacts": artifacts})
    assert columns(shown)[2:4] == ["digit\naccuracy", "angle\nmean_absolute_error"]
    assert [row[2:4] for row in rows(shown)] == [["0.5000", "7.0000"]] * 2


def test_an_optimizers_state_does_not_make_the_others_look_smaller() -> None:
    """Nobody ships it: what counts is the model that came in without it."""
    result = make_result()
    heavy = result.baseline.model_copy(update={"reference_bytes": result.baseline.bytes - 8_000})
    assert ratio(heavy, result.artifacts[1]) == 3_000 / 750


def test_gates_stand_under_the_table() -> None:
    """The missed one is the one that is seen."""
    assert notes(make_result()) == [
        "gate passed: int8: small",
        "gate MISSED: int8: [bad]",
    ]


def test_what_small_files_need_and_lack_stands_under_the_table() -> None:
    """The oldest runtime, the memory of a microcontroller, and kernels of more bits than asked."""
    result = make_result()
    kernel = KernelResult(
        layer="conv",
        operator="CONV_2D",
        asked_bits=2,
        bits=4,
        scales=1,
        is_lossless=True,
        elements=9,
        zeros=0,
        distinct=3,
    )
    kernels = [kernel.model_copy(update={"layer": f"conv{it}"}) for it in range(6)]
    kernels.append(kernel.model_copy(update={"bits": 2}))
    small = result.artifacts[1].model_copy(
        update={
            "runtime": "litert-2.1",
            "arena_bytes": 12_345,
            "packed": PackedResult(kernels=kernels),
        }
    )
    asked = {"quantize": [{"type": "int8", "target": "tflm"}]}
    update = {"artifacts": [result.baseline, small], "manifest": asked, "gates": []}
    assert notes(result.model_copy(update=update)) == [
        "runs in litert-2.1 and newer: int8.tflite",
        "int8.tflite needs 12,345 bytes of memory for its tensors, and the interpreter's",
        (
            "int8.tflite: kernels of more bits than asked for: conv0 (4, not 2), conv1 (4, not 2), "
            "conv2 (4, not 2), conv3 (4, not 2) and 2 more"
        ),
    ]


def test_times_smaller_is_the_plain_input_against_the_smallest_form() -> None:
    """A file that no encoding makes smaller counts as it is."""
    result = make_result()
    plain = result.artifacts[1].model_copy(update={"encoded": {}})
    assert plain.smallest == ("file", 990)
    assert ratio(result.baseline, plain) == 11_000 / 990
    assert ratio(result.baseline, result.artifacts[1]) == 11_000 / 750


def test_the_last_event_is_what_a_machine_wants_to_know() -> None:
    """It is plain JSON, and holds where the result is."""
    result = make_result()
    event = finished_event(result, "/out", already_done=True)
    assert json.loads(json.dumps(event, allow_nan=False)) == event
    assert event["result"] == "/out/result.json"
    assert (event["event"], event["status"]) == ("run_finished", "gate_missed")
    assert event["already_done"] is True
    assert [it["artifact"] for it in event["artifacts"]] == ["baseline", "int8"]
    assert event["artifacts"][1] == {
        "sha256": result.artifacts[1].sha256,
        "artifact": "int8",
        "format": "tflite",
        "path": "int8.tflite",
        "bytes": 990,
        "smallest_encoding": "zip",
        "smallest_bytes": 750,
        "ratio": 14.67,
        "metrics": {"loss": 0.25, "accuracy": 0.98},
        "runtime": None,
    }
    assert [gate["passed"] for gate in event["gates"]] == [True, False]


def test_the_chosen_artifact_and_what_decided_stand_under_the_table() -> None:
    """A smaller one is named with the reason why it is not chosen; a larger one is left out."""
    result = make_result()
    names = ("tiny", "int8", "large")
    sizes = dict(zip(names, (100, 990, 5000), strict=True))
    made = [
        result.artifacts[1].model_copy(update={"variant": name, "encoded": {}, "bytes": size})
        for name, size in sizes.items()
    ]
    verdicts = [
        GateResult(
            gate={"artifact": None},
            artifact=name,
            value=1,
            limit=1,
            passed=name == "int8",
            explanation=f"{name}: figures",
        )
        for name in names
    ]
    chosen = ChosenResult(artifact="int8", path="int8.tflite", encoding="file", bytes=990)
    update = {"artifacts": [result.baseline, *made], "gates": verdicts, "chosen": chosen}
    assert notes(result.model_copy(update=update)) == [
        "chosen: int8.tflite (990 bytes, 11.1 times smaller), the smallest that passes its gates",
        "smaller, but not chosen: tiny: figures",
        "gate passed: int8: figures",
    ]
    event = finished_event(result.model_copy(update=update), "out", already_done=False)
    assert event["chosen"] == {
        "artifact": "int8",
        "path": "int8.tflite",
        "encoding": "file",
        "bytes": 990,
    }


def test_the_table_has_sparsity_and_latency() -> None:
    """Before the digest; TensorFlow's latencies are marked, since they do not compare."""
    result = make_result()
    latency = LatencyResult(runtime="tensorflow", threads=1, runs=10, median=1.25, p90=2)
    base = result.baseline.model_copy(update={"latency_ms": {"one_thread": latency}})
    shown = result.model_copy(update={"artifacts": [base, result.artifacts[1]]})
    assert columns(shown)[-3:] == [*OPTIONAL, "SHA-256"]
    assert [row[6:8] for row in rows(shown)] == [
        ["0.000", "1.25 tf"],
        ["0.000", ""],
    ]


def test_a_baseline_is_never_said_to_be_larger_than_itself() -> None:
    """Its optimizer's state makes its file larger than what sizes are compared with."""
    result = make_result()
    heavy = result.baseline.model_copy(update={"reference_bytes": 600})
    shown = result.model_copy(update={"artifacts": [heavy, result.artifacts[1]]})
    assert [row[5] for row in rows(shown)] == ["-", "0.8"]
    assert "sizes are compared with 600 bytes" in notes(shown)[0]


def test_what_is_done_already_warns_of_nothing() -> None:
    """It did when it was done."""
    result = make_result().model_copy(update={"warnings": ["look here"]})
    assert finished_event(result, "out", already_done=True)["warnings"] == []
    assert finished_event(result, "out", already_done=False)["warnings"] == ["look here"]


def test_what_was_resumed_is_shown() -> None:
    """Under the table, and in the event for machines."""
    result = make_result().model_copy(update={"resumed": ["baseline", "training"]})
    line = "taken from a run that was stopped: baseline, training"
    assert notes(result) == [line, *notes(make_result())]
    event = finished_event(result, "out", already_done=False)
    assert event["resumed"] == ["baseline", "training"]
