"""A data set's description -> arrays and batches of them."""
