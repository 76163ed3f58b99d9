"""The tutorial that paredown starts from, as a plain script: what a user would run instead.

The code path is the notebook "Pruning in Keras example" of tensorflow-model-optimization, with
two differences: the baseline is loaded and not trained, and the model that is quantized is the
pruned one (the notebook's listing converts ``baseline_model``, which is a bug).
Sample-by-sample evaluation of the ``.tflite`` is the notebook's own.

Usage: python benchmarks/tutorial.py MODEL.h5 MNIST.npz OUTPUT_DIR
Prints one line of JSON: bytes, accuracies and the seconds spent in ``fit``.
"""

import json
import os
import sys
import time
import zipfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_model_optimization as tfmot
import tf_keras as keras


def zipped_bytes(path: Path) -> int:
    """Size in bytes of ``path`` in a DEFLATE zip, as the notebook's get_gzipped_model_size."""
    archive = path.with_suffix(path.suffix + ".zip")
    with zipfile.ZipFile(archive, "w", compression=zipfile.ZIP_DEFLATED) as out:
        out.write(path)
    return archive.stat().st_size


def evaluate_tflite(content: bytes, images: np.ndarray, labels: np.ndarray) -> float:
    """Accuracy, one image at a time, as the notebook does it."""
    interpreter = tf.lite.Interpreter(model_content=content)
    interpreter.allocate_tensors()
    input_index = interpreter.get_input_details()[0]["index"]
    output_index = interpreter.get_output_details()[0]["index"]
    digits = []
    for image in images:
        interpreter.set_tensor(input_index, np.expand_dims(image, axis=0).astype(np.float32))
        interpreter.invoke()
        digits.append(np.argmax(interpreter.tensor(output_index)()[0]))
    return float((np.array(digits) == labels).mean())


def main(model_file: str, data_file: str, output: str) -> None:
    """Run the notebook once."""
    out = Path(output)
    out.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(7)
    data = np.load(data_file)
    train_images, train_labels = data["x_train"] / 255.0, data["y_train"]
    test_images, test_labels = data["x_test"] / 255.0, data["y_test"]

    model = keras.models.load_model(model_file)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    _, baseline_accuracy = model.evaluate(test_images, test_labels, verbose=0)
    baseline_file = out / "baseline.h5"
    model.save(baseline_file, include_optimizer=False)

    batch_size, epochs, validation_split = 128, 2, 0.1
    steps = int(np.ceil(len(train_images) * (1 - validation_split) / batch_size)) * epochs
    schedule = tfmot.sparsity.keras.PolynomialDecay(
        initial_sparsity=0.50, final_sparsity=0.80, begin_step=0, end_step=steps
    )
    pruned = tfmot.sparsity.keras.prune_low_magnitude(model, pruning_schedule=schedule)
    pruned.compile(optimizer="adam", loss=loss, metrics=["accuracy"])
    started = time.perf_counter()
    pruned.fit(
        train_images,
        train_labels,
        batch_size=batch_size,
        epochs=epochs,
        validation_split=validation_split,
        callbacks=[tfmot.sparsity.keras.UpdatePruningStep()],
        verbose=0,
    )
    fit_s = time.perf_counter() - started
    _, pruned_accuracy = pruned.evaluate(test_images, test_labels, verbose=0)

    exported = tfmot.sparsity.keras.strip_pruning(pruned)
    pruned_file = out / "pruned.h5"
    exported.save(pruned_file, include_optimizer=False)

    converter = tf.lite.TFLiteConverter.from_keras_model(exported)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    tflite_file = out / "pruned_quantized.tflite"
    tflite_file.write_bytes(content)

    print(
        json.dumps(
            {
                "baseline_bytes": baseline_file.stat().st_size,
                "baseline_zip": zipped_bytes(baseline_file),
                "baseline_accuracy": baseline_accuracy,
                "pruned_zip": zipped_bytes(pruned_file),
                "pruned_accuracy": pruned_accuracy,
                "tflite_bytes": len(content),
                "tflite_zip": zipped_bytes(tflite_file),
                "tflite_accuracy": evaluate_tflite(content, test_images, test_labels),
                "fit_s": fit_s,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
