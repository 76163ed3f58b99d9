"""URIs <-> local files: this machine, buckets, web servers. Knows nothing of models."""
