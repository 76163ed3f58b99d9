"""The frozen records of what happened, which ``result.json`` holds; the grammar of file names."""
