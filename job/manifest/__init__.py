"""What is asked: the manifest as pydantic models. No TensorFlow, and no I/O but reading JSON."""
