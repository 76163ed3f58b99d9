"""The rows of a data set, once its files are read: splits, batches, memory, arithmetic."""
