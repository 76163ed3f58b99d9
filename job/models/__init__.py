"""A model file -> a Keras model; and which of its layers can be pruned."""
