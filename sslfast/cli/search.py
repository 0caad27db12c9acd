"""`sslfast search`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import DATA
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "where", metavar="EMBEDDINGS|ENCODER", help="what embed wrote (.npz, .parquet), or an encoder, with --data"
    )
    parser.add_argument("query", metavar="IMAGE", nargs="?", help="the image to find others like it")
    parser.add_argument("--data", action="append", metavar=DATA, help="the images to search, for an encoder")
    parser.add_argument("--k", type=int, default=5, help="number of neighbors (default: %(default)s)")
    parser.add_argument(
        "--duplicates", metavar="COSINE", type=float, help="in place of IMAGE: all pairs of at least this cosine"
    )


def settle(_: Parser, args: Namespace, rest: list[str]) -> list[str]:
    """Takes an image that follows --data, which argparse leaves over where an argument may be missing."""
    if args.query is None and rest and not rest[0].startswith("-"):
        args.query, *rest = rest
    return rest


def run(args: Namespace) -> None:
    from sslfast.commands.search import search

    if found := search(args.where, args.query, args.data, k=args.k, duplicates=args.duplicates):
        print(found)


SEARCH = Command(
    "search", "find the images most like another one, or duplicates", run, add_arguments, settle=settle
)
