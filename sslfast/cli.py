"""The command line.

Exit codes: 0 done, 2 bad arguments or data, 1 failure, 143 after a saved SIGTERM, 130 after Ctrl-C.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from sslfast.errors import TrainingError, UsageError

# The commands import what they need themselves: torch takes seconds, which `--help` should not.


class Parser(argparse.ArgumentParser):
    """Says what was wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


class EvaluationHelp(argparse.Action):
    """--help of `evaluate`: the arguments, then every setting of each evaluation."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from sslfast.commands.evaluate import EVALUATIONS
        from sslfast.config.settings import listed

        print(parser.format_help())
        for kind, (schema, _rows) in EVALUATIONS.items():
            print("\n".join([f"settings of {kind}, with their defaults:", *listed(schema)]))
        parser.exit()


class SettingsHelp(argparse.Action):
    """--help of `pretrain`: the arguments, then every setting of a recipe."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        from sslfast.recipes.load import describe, recipes
        from sslfast.recipes.presets import PRESETS

        print(parser.format_help())
        print(f"recipes:\n  {', '.join(recipes())}\n")
        print(f"presets of data.views:\n  {', '.join(PRESETS)}\n")
        print(f"settings, with their defaults:\n{describe()}")
        parser.exit()


def data_setting(args: argparse.Namespace) -> list[str]:
    """--data as an override."""
    return [f"data.source={json.dumps(args.data)}"] if args.data is not None else []  # JSON: no YAML in a path


def pretrain(args: argparse.Namespace) -> None:
    from sslfast.commands.pretrain import pretrain as run
    from sslfast.recipes.load import load_recipe, to_yaml

    config = load_recipe(args.recipe, [*args.overrides, *data_setting(args)])
    if args.print_config:
        print(to_yaml(config), end="")
        return
    out = args.out or Path("runs") / Path(args.recipe).stem
    run(config, out, resume=args.resume, overwrite=args.overwrite)


def evaluate(args: argparse.Namespace) -> None:
    from sslfast.commands.evaluate import evaluate as run

    found = run(
        args.kind, args.checkpoint, args.data, args.val, args.overrides, random_baseline=args.random_baseline
    )
    print(found.table())


def export(args: argparse.Namespace) -> None:
    from sslfast.commands.export import export_torchvision

    print(export_torchvision(args.checkpoint, args.out, overwrite=args.overwrite))


def bench(args: argparse.Namespace) -> None:
    from sslfast.benchmarks.ops.benchmark import run

    run(args.op, json_path=args.json, csv_path=args.csv, plots=args.plots)


def info(args: argparse.Namespace) -> None:
    from sslfast.commands.info import describe

    print(describe())


def list_all(args: argparse.Namespace) -> None:
    from sslfast.commands.list import listing

    print(listing())


def views(args: argparse.Namespace) -> None:
    from sslfast.commands.views import draw
    from sslfast.recipes.load import load_recipe

    print(draw(load_recipe(args.recipe, [*args.overrides, *data_setting(args)]), args.out))


def report(args: argparse.Namespace) -> None:
    from sslfast.commands.report import write_report

    print(write_report(args.run_dir, args.data))


def parser() -> Parser:
    main = Parser(prog="sslfast", description="Self-supervised pre-training of vision encoders, made fast.")
    commands = main.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    command = commands.add_parser(
        "pretrain",
        help="pre-train an encoder",
        usage="sslfast pretrain RECIPE [--data PATH|NAME] [--out DIR] [key.sub=value ...] [--resume]",
        add_help=False,
    )
    command.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a YAML file")
    command.add_argument(
        "--data",
        metavar="PATH|NAME",
        help="an image folder, a .tar or .tar.xz of one, a torchvision data set's name, or `shapes`",
    )
    command.add_argument("--out", metavar="DIR", type=Path, help="the run's directory (default: runs/RECIPE)")
    existing = command.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on with the run in --out")
    existing.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    command.add_argument("--print-config", action="store_true", help="show what would run, and stop")
    command.add_argument("-h", "--help", action=SettingsHelp, nargs=0, help="show this and all settings")
    command.set_defaults(run=pretrain)

    command = commands.add_parser(
        "evaluate",
        help="test a frozen encoder",
        usage="sslfast evaluate knn|linear CHECKPOINT --data PATH|NAME [--val PATH|NAME] [key=value ...]",
        add_help=False,
    )
    command.add_argument("kind", choices=["knn", "linear"], help="nearest neighbours, or a linear probe")
    command.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a run's directory, or a checkpoint")
    command.add_argument("--data", metavar="PATH|NAME", required=True, help="labelled images")
    command.add_argument(
        "--val",
        metavar="PATH|NAME",
        help="images to test on (default: those of --data that pre-training held out, or a fixed 10%%)",
    )
    command.add_argument("--random-baseline", action="store_true", help="test the initial weights as well")
    command.add_argument("-h", "--help", action=EvaluationHelp, nargs=0, help="show this and all settings")
    command.set_defaults(run=evaluate)

    command = commands.add_parser("export", help="write an encoder's weights for other software")
    command.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="a run's directory, or a checkpoint")
    command.add_argument("--format", choices=["torchvision"], required=True)
    command.add_argument("--out", metavar="FILE", type=Path, required=True, help="a .safetensors file")
    command.add_argument("--overwrite", action="store_true", help="replace FILE")
    command.set_defaults(run=export)

    command = commands.add_parser("list", help="the methods and the recipes, a line each")
    command.set_defaults(run=list_all)

    command = commands.add_parser(
        "views",
        help="draw what the networks of a recipe will see",
        usage="sslfast views RECIPE [--data PATH|NAME] --out FILE.png [key.sub=value ...]",
    )
    command.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a YAML file")
    command.add_argument("--data", metavar="PATH|NAME", help="the images (default: the recipe's)")
    command.add_argument("--out", metavar="FILE.png", type=Path, required=True, help="replaced where it exists")
    command.set_defaults(run=views)

    command = commands.add_parser("report", help="draw a run's curves and pictures")
    command.add_argument("run_dir", metavar="RUN_DIR", type=Path)
    command.add_argument("--data", metavar="PATH|NAME", help="the images to show (default: the run's)")
    command.set_defaults(run=report)

    command = commands.add_parser("bench", help="time the kernels beside PyTorch's eager and compiled forms")
    command.add_argument("--op", metavar="NAME", help="one op (default: all)")
    command.add_argument(
        "--json",
        metavar="PATH",
        type=Path,
        help="write the results with what they depend on; in a folder, a file an op",
    )
    command.add_argument("--csv", metavar="FILE", type=Path, help="write the results")
    command.add_argument("--plots", metavar="DIR", type=Path, help="draw them, a picture an op")
    command.set_defaults(run=bench)

    command = commands.add_parser("info", help="versions, GPU, and which kernels are usable and why not")
    command.set_defaults(run=info)
    return main


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; `key.sub=value` may stand anywhere among them."""
    main = parser()
    args, rest = main.parse_known_args(argv)
    for word in rest:
        if word.startswith("-") or "=" not in word or args.run not in (pretrain, evaluate, views):
            main.error(f"unexpected argument {word!r}; pretrain, evaluate and views take key.sub=value")
    args.overrides = rest
    return args


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    args = parse(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    logging.getLogger("sslfast").setLevel(logging.INFO)
    try:
        args.run(args)
    except UsageError as error:
        print(f"sslfast: {error}", file=sys.stderr)
        return 2
    except TrainingError as error:
        print(f"sslfast: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:  # before or after training, or the second during it
        print("sslfast: interrupted; a run goes on from its latest checkpoint with --resume", file=sys.stderr)
        return 130
    return 0
