"""`sslfast export`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import add_encoder, path_argument, print_path
from sslfast.cli.parser import Parser

FORMATS = ("torchvision", "timm", "onnx", "hf", "detectron2")


def add_arguments(parser: Parser) -> None:
    add_encoder(parser)
    parser.add_argument("--format", choices=FORMATS, required=True)
    parser.add_argument(
        "--out",
        metavar="PATH",
        type=path_argument,
        required=True,
        help="a .safetensors file; of onnx an .onnx file, of detectron2 a .pth file, of hf a folder",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what is at PATH")


def run(args: Namespace) -> None:
    from sslfast.commands.export import export

    print_path(export(args.encoder, args.out, args.format, overwrite=args.overwrite))


EXPORT = Command("export", "write an encoder's weights for other software", run, add_arguments)
