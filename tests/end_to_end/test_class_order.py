"""Data that are sorted by class: no class is lost, and the figures of each are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter

from tests.support.published import publish_all


def test_sorted_rows_lose_no_class(tiny: Path, tmp_path: Path) -> None:
    """With all defaults and with labels of another order, against counting by a plain interpreter:
    held-out rows, epochs, recall of each class, the constant answer, both gates.
    """
    with np.load(tiny / "data.npz") as archive:
        arrays = dict(archive)
    order = np.argsort(arrays["y_train"], kind="stable")
    train = {name: arrays[name][order] for name in ("x_train", "y_train")}
    np.savez(tmp_path / "sorted.npz", **arrays | train)
    moved = {name: (arrays[name] + 1) % 4 for name in ("y_train", "y_test")}
    np.savez(tmp_path / "moved.npz", **arrays | moved)
    gates = [{"type": "beats_constant"}, {"type": "min_class_recall", "value": 0.5}]
    common: dict[str, Any] = {"compress": None, "gates": gates}

    def data(name: str) -> dict[str, Any]:
        return {"type": "npz", "uri": str(tmp_path / f"{name}.npz"), "scale": 1 / 255}

    training: dict[str, Any] = {"class_weights": {"3": 2.0}, "early_stopping": {"patience": 40}}
    jobs: dict[str, dict[str, Any]] = {
        "sorted": {"dataset": data("sorted"), "training": training} | common,
        "moved": {"dataset": data("moved"), "training": {"epochs": 1}} | common,
    }
    done = publish_all(jobs, tiny, tmp_path / "jobs")
    found = done["sorted"]
    result = found.result
    assert found.run.code == 0, found.run.err
    assert not any("CONSTANT" in it or "rows have none" in it for it in result["warnings"])
    trained = result["training"]
    assert (trained["rows"], trained["held_out"]) == (360, 40)
    assert trained["steps"] >= 400 > trained["pruned_at"]
    losses = {
        it["epoch"]: it["metrics"]["val_loss"]
        for it in result["epochs"]
        if it["epoch"] * 3 >= trained["pruned_at"]
    }
    assert trained["published_epoch"] == min(losses, key=lambda epoch: losses[epoch])
    assert trained["class_weights"]["dense"]["3"] == 2.0

    interpreter = Interpreter(str(found.folder / "dynamic_range.tflite"))
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], [100, 8, 8])
    interpreter.allocate_tensors()
    pictures = arrays["x_test"].astype("float32") * np.float32(1 / 255)
    interpreter.set_tensor(given["index"], pictures)
    interpreter.invoke()
    taken = interpreter.get_tensor(answer["index"]).argmax(axis=1)
    labels = arrays["y_test"]
    classes = found.artifact("dynamic_range")["per_class"]["dense"]
    for index in range(4):
        figures = classes[str(index)]
        assert figures["support"] == (labels == index).sum()
        assert figures["recall"] == (taken[labels == index] == index).mean()
        assert figures["precision"] == (labels[taken == index] == index).mean()
    most = np.bincount(train["y_train"]).argmax()
    constant = result["artifacts"][0]["constant_metrics"]["dense"]["accuracy"]
    assert round(constant, 6) == (labels == most).mean()

    broken = done["moved"]
    assert broken.run.code == 5
    assert broken.result["gates"][0]["passed"] is False
    first = broken.result["warnings"][0]
    assert first.startswith("THE MODEL THAT CAME IN IS NO BETTER THAN A CONSTANT ANSWER")
    assert "order of the classes: the model answers 0 for 1, 1 for 2" in first
