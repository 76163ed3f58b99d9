"""Checkpoints of a job: finished parts of the work, which a later run of the same job restores."""
