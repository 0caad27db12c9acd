"""A command as a person runs it."""

from sslfast.cli import main

TINY = ["data.limit=180", "data.batch_size=32", "encoder.width=0.125", "train.threads=1"]


def run(capsys, *argv):
    """Runs a command; returns its exit code, standard output and standard error."""
    try:
        code = main(argv)
    except SystemExit as exit:
        code = exit.code or 0
    out, err = capsys.readouterr()
    return code, out, err
