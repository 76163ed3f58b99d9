"""The program that opens a ``.tflite`` in a process of its own, as any program would.

It is run as a file, with ``ai_edge_litert`` and NumPy alone: paredown is not imported. Arguments:
the file, an ``.npz`` with an array for each input in the file's order (``arr_0``, ``arr_1``, ...),
the name of the kernels to use, of ``OpResolverType``, and the ``.npz`` for the outputs of the call.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

if __name__ == "__main__":
    model, rows, resolver, answer = sys.argv[1:]
    interpreter = Interpreter(
        model_path=model, num_threads=1, experimental_op_resolver_type=OpResolverType[resolver]
    )
    with np.load(rows, allow_pickle=False) as content:
        arrays = [content[f"arr_{index}"] for index in range(len(content.files))]
    details = interpreter.get_input_details()
    for detail, array in zip(details, arrays, strict=True):
        if tuple(detail["shape"]) != array.shape:
            interpreter.resize_tensor_input(detail["index"], array.shape)
    interpreter.allocate_tensors()
    for detail, array in zip(details, arrays, strict=True):
        interpreter.set_tensor(detail["index"], array)
    interpreter.invoke()
    np.savez(
        answer, *(interpreter.get_tensor(it["index"]) for it in interpreter.get_output_details())
    )
