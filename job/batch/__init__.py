"""Many models: workers, shards, the summary."""
