"""What a stopped run leaves for the next: its index, who writes it and who restores from it."""
