"""``result.json`` -> the pages of a run and of a batch, as HTML and as a model card."""
