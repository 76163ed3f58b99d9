"""prune, strip, compress, quantize: one file each; a model in, a model or files out."""
