"""A model file, judged as data before TensorFlow is imported: a model is a program."""
