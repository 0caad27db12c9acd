"""A command is run, and ends in an exit code.

Exit codes: 0 done, 2 bad arguments or data, 1 failure, 143 after SIGTERM or SIGUSR1, 130 after Ctrl-C, 141 where
what reads the output has gone.
"""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

from sslfast.cli.arguments import parse
from sslfast.cli.command import Command
from sslfast.cli.terminated import Terminated, signals_raised
from sslfast.errors import PrintableFormatter, TrainingError, UsageError, is_out_of_memory, printable
from sslfast.extras import needed_by


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    Args:
        argv: the words after the program's name; None: those that it was started with.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error has it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return run(argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None:
            # Of standard output, of which Python flushes what is left when it exits, and would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # `sslfast pretrain --help | head`
            return 141  # 128 + SIGPIPE, as a shell has it
        return failed(f"{error.filename or 'cannot read or write'}: {error.strerror or error}")


def run(argv: Sequence[str] | None) -> int:
    """Runs a command, turns its failures into one line, and returns its exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("sslfast").setLevel(logging.INFO)
    interrupted, short_of_memory = Command.interrupted, Command.short_of_memory  # before one is chosen
    argv = sys.argv[1:] if argv is None else argv
    try:
        with needed_by(" ".join(argv[:1])), signals_raised():
            args = parse(argv)
            interrupted, short_of_memory = args.chosen.interrupted, args.chosen.short_of_memory
            args.chosen.run(args)
    except UsageError as error:
        return failed(str(error), code=2)
    except TrainingError as error:
        return failed(str(error))
    except KeyboardInterrupt:  # before or after training, or the second during it
        return failed(interrupted, code=130)
    except Terminated:  # likewise; training and sweeps take it themselves
        return failed(interrupted, code=143)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or "no more of the host's"
        return failed(f"not enough memory: {reason}; {short_of_memory}")
    return 0


def failed(message: str, code: int = 1) -> int:
    """Says what went wrong in a line, and returns the exit code."""
    print(f"sslfast: {printable(message)}", file=sys.stderr)
    return code
