"""The parts of ``transform.py``, in the child process, and what it keeps."""
