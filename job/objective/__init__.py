"""What a model is trained for: its losses and metrics, inferred from graph, outputs and targets."""
