"""`sslfast list`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument("word", metavar="WORD", nargs="?", default="", help="only those with WORD in their names")


def run(args: Namespace) -> None:
    from sslfast.commands.list import listing

    print(listing(args.word))


LIST = Command("list", "the methods, the recipes and the ablations, a line each", run, add_arguments)
