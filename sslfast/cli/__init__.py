"""The command line. Adding a command: its file here, its line in `arguments.py`, a test.

A command's file imports what it runs late: torch takes seconds, which `sslfast --help` should not.
"""

from sslfast.cli.arguments import parse
from sslfast.cli.exit_code import main

__all__ = ["main", "parse"]
