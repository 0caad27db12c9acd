"""`sslfast export`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import add_encoder, path_argument, print_path
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    add_encoder(parser)
    parser.add_argument("--format", choices=["torchvision"], required=True)
    parser.add_argument("--out", metavar="FILE", type=path_argument, required=True, help="a .safetensors file")
    parser.add_argument("--overwrite", action="store_true", help="replace FILE")


def run(args: Namespace) -> None:
    from sslfast.commands.export import export_torchvision

    print_path(export_torchvision(args.encoder, args.out, overwrite=args.overwrite))


EXPORT = Command("export", "write an encoder's weights for other software", run, add_arguments)
