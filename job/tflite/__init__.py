"""A ``.tflite`` as data: read, changed and written, and run, without TensorFlow."""
