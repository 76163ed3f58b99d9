"""URIs <-> local files. Knows nothing of models; S3 will live beside ``local.py``."""
