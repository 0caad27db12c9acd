"""`sslfast report`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, add_encoder, add_state_dict, print_path
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    add_encoder(parser)
    parser.add_argument(
        "--data",
        action="append",
        metavar=DATA,
        help="the images to show (default: those of a run's directory)",
    )
    add_state_dict(parser)


def run(args: Namespace) -> None:
    from sslfast.commands.report import write_report

    print_path(write_report(args.encoder, args.data, architecture=args.architecture, partial=args.partial))


REPORT = Command("report", "draw a run's curves and pictures, or those of an encoder", run, add_arguments)
