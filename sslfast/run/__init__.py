"""A run on disk: its directory, its logs, its checkpoints, its backbone."""
