"""The parts of the story in ``pipeline.py``, in the parent process; no TensorFlow."""
