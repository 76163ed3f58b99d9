"""Size, sparsity, quality and latency of a file, and the gates on them."""
