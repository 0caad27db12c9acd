"""A grid of runs: its cells, the processes that make them, and their table."""
