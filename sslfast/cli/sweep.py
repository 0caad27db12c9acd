"""`sslfast sweep`: its arguments."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, path_argument
from sslfast.cli.overrides import recipe_help, recipe_schema
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    parser.add_argument(
        "sweep",
        metavar="RECIPE|ABLATION|FILE.yaml",
        help="a recipe, an ablation of a paper (`sslfast list` has both), or a YAML file like those in "
        "sslfast/recipes/ablations/",
    )
    parser.add_argument(
        "--out",
        metavar="DIR",
        type=path_argument,
        required=True,
        help="the folder of the runs, sweep.html, sweep.md and sweep.csv; the same command goes on there",
    )
    parser.add_argument("--data", action="append", metavar=DATA, help="the images (default: the recipe's)")
    parser.add_argument("--val", action="append", metavar=DATA, help="images to test on, as for evaluate")
    parser.add_argument("--seeds", metavar="N", type=count, help="0 to N - 1 (default: 1, or the file's)")
    parser.add_argument(
        "--evaluate",
        metavar="PROTOCOL",
        help='the protocol, with its settings: "linear protocol=mncl" (default: linear, or the file\'s)',
    )
    parser.add_argument(
        "--devices",
        metavar="0,1",
        type=devices,
        default=[""],
        help="numbers of GPUs, or cpu: a run at a time on each (default: one at a time)",
    )
    parser.add_argument("--dry-run", action="store_true", help="print the commands, and run nothing")


def count(text: str) -> int:
    """Reads a number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"expected a number of at least 1, got {text}")
    return int(text)


def devices(text: str) -> list[str]:
    """Reads names of devices with commas between them: numbers of GPUs, or cpu."""
    names = text.split(",")
    if not all(name == "cpu" or name.isdecimal() for name in names):
        raise ArgumentTypeError(f"expected numbers of GPUs, or cpu, with commas between them; got {text}")
    return names


def run(args: Namespace) -> None:
    from sslfast.commands.sweep import sweep

    table = sweep(
        args.sweep,
        args.out,
        args.overrides,
        data=args.data,
        val=args.val,
        seeds=args.seeds,
        evaluate=args.evaluate,
        devices=args.devices,
        dry_run=args.dry_run,
    )
    print(table)


SWEEP = Command(
    "sweep",
    "run a recipe with lists of settings and seeds, evaluate the runs, and put them into one table",
    run,
    add_arguments,
    usage="sslfast sweep RECIPE|ABLATION|FILE.yaml --out DIR\n"
    "                     ['key.sub=[a,b,c]' ...] [key.sub=value ...]",
    schema=recipe_schema,
    describe=recipe_help,
)
