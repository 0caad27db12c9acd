"""`sslfast compare`: its arguments."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from sslfast.cli.command import Command
from sslfast.cli.common import path_argument, print_path
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=path_argument, help="two or more")
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=path_argument,
        default=Path("compare"),
        help="for compare.html, compare.md and compare.csv, which are replaced (default: %(default)s)",
    )


def run(args: Namespace) -> None:
    from sslfast.commands.compare import compare

    print_path(compare(args.run_dirs, args.out))


COMPARE = Command("compare", "set runs side by side: settings, curves, evaluations", run, add_arguments)
