"""What starts from a teacher. How it is trained is in ``end_to_end/test_small_weights.py``."""

from __future__ import annotations

from typing import Any

import numpy as np
import tf_keras

from job.events import Stage
from job.worker.teach import Teacher
from job.worker.teacher import start_from_teacher

layers = tf_keras.layers


def test_what_was_zero_stays_zero() -> None:
    """A model that came in pruned is not made dense by its teacher; all else is the teacher's."""
    model = tf_keras.Sequential(
        [layers.InputLayer((4,)), layers.Dense(3, name="sparse"), layers.Dense(2, name="dense")]
    )
    kernel = model.get_layer("sparse").kernel
    kernel.assign(np.where(np.arange(12).reshape(4, 3) % 2, kernel.numpy(), 0))
    start = [np.full(it.shape, 5.0, np.float32) for it in model.weights]
    predict: Any = None
    said: list[Any] = []
    stage = Stage("test", said.append)
    start_from_teacher(model, Teacher(model, predict, "of", start), stage)
    found = model.get_layer("sparse").kernel.numpy()
    assert (found == np.where(np.arange(12).reshape(4, 3) % 2, 5, 0)).all()
    assert all((it.numpy() == 5).all() for it in model.get_layer("dense").weights)
    assert (model.get_layer("sparse").bias.numpy() == 5).all()
    assert stage.decisions == ["it starts from the teacher's weights"]
    before = model.get_weights()
    start_from_teacher(model, Teacher(model, predict, "of"), stage)
    assert all((a == b).all() for a, b in zip(before, model.get_weights(), strict=True))
