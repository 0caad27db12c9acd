"""`sslfast bench`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import path_argument
from sslfast.cli.parser import Parser
from sslfast.errors import UsageError


def add_arguments(parser: Parser) -> None:
    parser.add_argument("--op", metavar="NAME", help="one op (default: all)")
    parser.add_argument(
        "--json",
        metavar="PATH",
        type=path_argument,
        help="write the results with what they depend on; in a folder, a file an op",
    )
    parser.add_argument("--csv", metavar="FILE", type=path_argument, help="write the results")
    parser.add_argument("--plots", metavar="DIR", type=path_argument, help="draw them, a picture an op")
    parser.add_argument(
        "--static",
        action="store_true",
        help="show instead what the compiler says of the Triton kernels: registers, shared memory, blocks on a "
        "processor and instructions a tile, compiled and not measured",
    )


def run(args: Namespace) -> None:
    from sslfast.benchmarks.ops import benchmark, static

    if args.static:
        if args.json or args.csv or args.plots:
            raise UsageError("bench --static: it shows what is recorded of the compiler, and writes no files")
        print(static.table(args.op))
        return
    benchmark.run(args.op, json_path=args.json, csv_path=args.csv, plots=args.plots)


BENCH = Command("bench", "time the kernels beside PyTorch's eager and compiled forms", run, add_arguments)
