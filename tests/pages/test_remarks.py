"""What is said of latencies."""

from __future__ import annotations

from job.pages.facts import Facts
from job.pages.remarks import latency_remarks
from job.result.result import Result
from tests.pages import results


def said(document: dict[str, object]) -> list[str]:
    result = Result.model_validate(document)
    return [it.striptags() for it in latency_remarks(result, Facts(result.model_dump(mode="json")))]


def test_slow_integers_are_said_to_be_slow() -> None:
    """Compared with the fastest file of the same runtime."""
    sparse, integers, runtimes = said(results.document())
    assert sparse.startswith("Sparsity does not make a model faster")
    assert integers.startswith("int8.tflite takes 0.0441 ms, dynamic_range.tflite 0.0171")
    assert runtimes.startswith("TensorFlow and LiteRT")


def test_fast_integers_are_not() -> None:
    """Nothing is said where they are faster."""
    document = results.document()
    document["artifacts"][3]["latency_ms"]["one_thread"]["median"] = 0.001
    assert [it[:8] for it in said(document)] == ["Sparsity", "TensorFl"]


def test_without_latencies_only_the_sparsity_is_spoken_of() -> None:
    """Without figures."""
    document = results.document()
    for artifact in document["artifacts"]:
        artifact["latency_ms"] = {}
    (sparse,) = said(document)
    assert sparse.endswith("once it is compressed.")


def test_a_job_that_prunes_and_quantizes_nothing_has_no_remarks() -> None:
    """Its only file is the baseline."""
    document = results.document()
    document["artifacts"] = document["artifacts"][:1]
    assert said(document | {"chosen": None}) == []
