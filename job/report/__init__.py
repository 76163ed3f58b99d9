"""result.json -> something to look at. No TensorFlow."""
