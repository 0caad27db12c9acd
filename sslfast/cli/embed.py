"""`sslfast embed`: its arguments."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, add_encoder, add_state_dict, path_argument, print_path
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    add_encoder(parser)
    parser.add_argument("--data", action="append", metavar=DATA, required=True, help="the images, as for pretrain")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=path_argument,
        required=True,
        help="a .npz, .parquet or .csv file, replaced where it exists",
    )
    parser.add_argument("--patches", action="store_true", help="maps of features, (D, h, w), of each image")
    add_state_dict(parser)


def schema(_: Namespace) -> Any:
    from sslfast.embeddings.config import EmbedConfig

    return EmbedConfig


def help_text(part: str) -> str:
    from sslfast.config.help import help_entries
    from sslfast.config.parts import ALL, Part, part_text
    from sslfast.embeddings.config import EmbedConfig

    return part_text(
        {"embed": Part(["settings, with their defaults:"], dict(help_entries(EmbedConfig)))}, part or ALL
    )


def run(args: Namespace) -> None:
    from sslfast.commands.embed import embed

    embed(
        args.encoder,
        args.data,
        args.out,
        args.overrides,
        patches=args.patches,
        architecture=args.architecture,
        partial=args.partial,
    )
    print_path(args.out)


EMBED = Command(
    "embed",
    "write the features of images, with their names and labels",
    run,
    add_arguments,
    usage="sslfast embed ENCODER --data PATH|NAME --out FILE [--patches]\n                     [key=value ...]",
    schema=schema,
    describe=help_text,
    short_of_memory="lower limit or chunk",
)
