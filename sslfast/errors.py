"""The two failures that the command line turns into one line and an exit code."""


class UsageError(Exception):
    """Bad arguments or data: what was wrong, where, and what to do about it. Exit code 2."""


class TrainingError(Exception):
    """Training cannot go on. Exit code 1."""
