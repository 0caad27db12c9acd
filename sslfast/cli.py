"""The command line.

Exit codes: 0 done, 2 bad arguments or data, 1 failure, 143 after a saved SIGTERM, 130 after Ctrl-C, 141 where
what reads the output has gone.
"""

from __future__ import annotations

import argparse
import io
import itertools
import logging
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from sslfast.errors import PrintableFormatter, TrainingError, UsageError, is_out_of_memory, printable

# The commands import what they need themselves: torch takes seconds, which `--help` should not.

log = logging.getLogger(__name__)

ENCODER = (
    "a run's directory, a checkpoint, a file of weights (.safetensors, or .pth of other software), "
    "torchvision/<model>[@<weights>], timm/<model>[@<tag>], or random"
)
COMMANDS = ("pretrain", "evaluate", "export", "list", "views", "report", "compare", "bench", "info")


class StoreOnce(argparse.Action):
    """The action of an option with a value: a second one is an error, where argparse would take the last."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if option is not None and before is not self.default:
            raise argparse.ArgumentError(self, f"given twice, {before} and {values}; give it once")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, with exit code 2, and whose options are given once but for "append"."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("action", None, StoreOnce)

    def error(self, message: str) -> NoReturn:
        self.exit(2, printable(f"{self.prog}: {message}") + "\n")


class SettingsHelp(argparse.Action):
    """--help of a command with settings: its arguments, then the text that `const` returns."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> NoReturn:
        print(parser.format_help())
        print(self.const())
        parser.exit()


def recipe_help() -> str:
    from sslfast.recipes.help import describe

    return describe()


def evaluation_help() -> str:
    from sslfast.evaluation.help import describe

    return describe()


def pretrain(args: argparse.Namespace) -> None:
    from sslfast.commands.pretrain import pretrain as run
    from sslfast.recipes.load import to_yaml
    from sslfast.run.directory import RunDirectory
    from sslfast.run.resumption import named_run, recipe_to_run

    recipe, out = named_run(args.recipe, args.out, resume=args.resume)
    if args.print_config:
        resolved = recipe_to_run(
            recipe, RunDirectory(out), args.overrides, data=args.data, resume=args.resume, extend=args.extend
        )
        print(to_yaml(resolved), end="")
        return
    run(
        recipe,
        out,
        data=args.data,
        overrides=args.overrides,
        resume=args.resume,
        overwrite=args.overwrite,
        extend=args.extend,
    )


def evaluate(args: argparse.Namespace) -> None:
    from sslfast.commands.evaluate import evaluate as run

    evaluation = run(
        args.protocol,
        args.encoder,
        args.data,
        args.val,
        args.overrides,
        random_baseline=args.random_baseline,
        supervised=args.supervised,
        architecture=args.architecture,
        partial=args.partial,
        command=args.command,
    )
    print(evaluation.table())


def export(args: argparse.Namespace) -> None:
    from sslfast.commands.export import export_torchvision

    print_path(export_torchvision(args.encoder, args.out, overwrite=args.overwrite))


def bench(args: argparse.Namespace) -> None:
    from sslfast.benchmarks.ops.benchmark import run

    run(args.op, json_path=args.json, csv_path=args.csv, plots=args.plots)


def info(args: argparse.Namespace) -> None:
    from sslfast.commands.info import describe

    print(describe())


def list_all(args: argparse.Namespace) -> None:
    from sslfast.commands.list import listing

    print(listing(args.word))


def views(args: argparse.Namespace) -> None:
    from sslfast.commands.views import draw
    from sslfast.recipes.load import load_recipe

    print_path(draw(load_recipe(args.recipe, args.overrides, data=args.data), args.out))


def report(args: argparse.Namespace) -> None:
    from sslfast.commands.report import write_report

    print_path(write_report(args.encoder, args.data, architecture=args.architecture, partial=args.partial))


def compare(args: argparse.Namespace) -> None:
    from sslfast.commands.compare import compare as run

    print_path(run(args.run_dirs, args.out))


SHORT_OF_MEMORY = {
    pretrain: "lower data.batch_size, data.size, encoder.width or method.queue_size; "
    "if the images themselves do not fit, set data.pipeline=dali",
    evaluate: "lower limit",
    views: "lower data.size",
}


def print_path(path: Path) -> None:
    print(printable(str(path)))


def parser() -> Parser:
    main = Parser(prog="sslfast", description="Self-supervised pre-training of vision encoders, made fast.")
    commands = main.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)

    command = commands.add_parser(
        "pretrain",
        help="pre-train an encoder",
        usage="sslfast pretrain RECIPE [--data PATH|NAME] [--out DIR] [key.sub=value ...] [--overwrite]\n"
        "       sslfast pretrain --resume RUN [--extend train.epochs=N] [--data PATH|NAME] [key.sub=value ...]",
        add_help=False,
    )
    command.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="a name that `sslfast list` describes, or a YAML file; to resume, the run's directory",
    )
    command.add_argument(
        "--data",
        action="append",
        metavar="PATH|NAME",
        help="an image folder, a .tar or .tar.xz of one, a torchvision data set, each also with a split "
        "(CIFAR10:test, photographs:val), or `shapes`; given several times, the images of all",
    )
    command.add_argument(
        "--out", metavar="DIR", type=path_argument, help="the run's directory (default: runs/RECIPE)"
    )
    existing = command.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on with a run, by the settings that it was started with"
    )
    existing.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    command.add_argument(
        "--extend",
        metavar="train.epochs=N",
        help="with --resume: go on with a run, finished or not, to more epochs; its schedules are then those of N",
    )
    command.add_argument("--print-config", action="store_true", help="print the recipe that would run, and stop")
    add_help(command, recipe_help)
    command.set_defaults(run=pretrain)

    command = commands.add_parser(
        "evaluate",
        help="test a frozen encoder",
        usage="sslfast evaluate PROTOCOL ENCODER --data PATH|NAME [--val PATH|NAME] [key=value ...]",
        add_help=False,
    )
    command.add_argument("protocol", metavar="PROTOCOL", help="see the settings of each below")
    command.add_argument("encoder", metavar="ENCODER", help=ENCODER)
    command.add_argument(
        "--data",
        action="append",
        metavar="PATH|NAME",
        required=True,
        help="labelled images, as for pretrain; for segment with masks",
    )
    command.add_argument(
        "--val",
        action="append",
        metavar="PATH|NAME",
        help="images to test on (default: a data set's test split; of other data those that pre-training held "
        "out, or a fixed 10%%)",
    )
    command.add_argument("--random-baseline", action="store_true", help="test random weights as well")
    command.add_argument(
        "--supervised", metavar="ENCODER", help="test another encoder as well, which was trained with labels"
    )
    add_state_dict(command)
    add_help(command, evaluation_help)
    command.set_defaults(run=evaluate)

    command = commands.add_parser("export", help="write an encoder's weights for other software")
    command.add_argument("encoder", metavar="ENCODER", help=ENCODER)
    command.add_argument("--format", choices=["torchvision"], required=True)
    command.add_argument("--out", metavar="FILE", type=path_argument, required=True, help="a .safetensors file")
    command.add_argument("--overwrite", action="store_true", help="replace FILE")
    command.set_defaults(run=export)

    command = commands.add_parser("list", help="the methods and the recipes, a line each")
    command.add_argument("word", metavar="WORD", nargs="?", default="", help="only those with WORD in their names")
    command.set_defaults(run=list_all)

    command = commands.add_parser(
        "views",
        help="draw what the networks of a recipe will see",
        usage="sslfast views RECIPE [--data PATH|NAME] --out FILE.png [key.sub=value ...]",
    )
    command.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a YAML file")
    command.add_argument("--data", action="append", metavar="PATH|NAME", help="the images (default: the recipe's)")
    command.add_argument(
        "--out", metavar="FILE.png", type=path_argument, required=True, help="replaced where it exists"
    )
    command.set_defaults(run=views)

    command = commands.add_parser("report", help="draw a run's curves and pictures, or those of an encoder")
    command.add_argument("encoder", metavar="ENCODER", help=ENCODER)
    command.add_argument(
        "--data",
        action="append",
        metavar="PATH|NAME",
        help="the images to show (default: those of a run's directory)",
    )
    add_state_dict(command)
    command.set_defaults(run=report)

    command = commands.add_parser("compare", help="set runs side by side: settings, curves, evaluations")
    command.add_argument("run_dirs", metavar="RUN_DIR", nargs="+", type=path_argument, help="two or more")
    command.add_argument(
        "--out",
        metavar="DIR",
        type=path_argument,
        default=Path("compare"),
        help="for compare.html, compare.md and compare.csv, which are replaced (default: %(default)s)",
    )
    command.set_defaults(run=compare)

    command = commands.add_parser("bench", help="time the kernels beside PyTorch's eager and compiled forms")
    command.add_argument("--op", metavar="NAME", help="one op (default: all)")
    command.add_argument(
        "--json",
        metavar="PATH",
        type=path_argument,
        help="write the results with what they depend on; in a folder, a file an op",
    )
    command.add_argument("--csv", metavar="FILE", type=path_argument, help="write the results")
    command.add_argument("--plots", metavar="DIR", type=path_argument, help="draw them, a picture an op")
    command.set_defaults(run=bench)

    command = commands.add_parser("info", help="versions, GPU, and which kernels are usable and why not")
    command.set_defaults(run=info)
    return main


def add_state_dict(command: argparse.ArgumentParser) -> None:
    """Gives a command the options that tell how to take a state dict of other software."""
    command.add_argument(
        "--architecture",
        metavar="NAME",
        help="the network of a state dict that is no ResNet's, as encoder.name of a recipe takes it",
    )
    command.add_argument("--partial", action="store_true", help="of a state dict take what fits")


def path_argument(text: str) -> Path:
    """A path, with a home folder in place of `~`: a shell leaves that of `--out=~/run` as it is."""
    from sslfast.config.paths import user_path

    return user_path(text)


def add_help(command: argparse.ArgumentParser, describe: Callable[[], str]) -> None:
    """Gives a command a --help that prints the text of `describe` too."""
    meaning = "show this and all settings"
    command.add_argument("-h", "--help", action=SettingsHelp, nargs=0, const=describe, help=meaning)


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """The arguments; `key.sub=value` may stand anywhere among them."""
    main = parser()
    argv = sys.argv[1:] if argv is None else argv
    if argv and not argv[0].startswith("-") and argv[0] not in COMMANDS:
        from sslfast.config.settings import nearest

        main.error(f"no command {argv[0]!r}{nearest(argv[0], COMMANDS)}")
    args, rest = main.parse_known_args(argv)
    if args.run is pretrain:
        if args.resume and args.recipe and "=" in args.recipe and not Path(args.recipe).exists():
            args.recipe, rest = None, [args.recipe, *rest]  # a setting: the recipe is the run's
        if not (args.recipe or args.resume):
            main.error("pretrain: give a RECIPE, or --resume and a run's directory")
    for word, after in itertools.zip_longest(rest, rest[1:], fillvalue=""):
        if word.startswith("-") or "=" not in word or args.run not in (pretrain, evaluate, views):
            hint = setting_hint(args, word, after)
            main.error(
                f"unexpected argument {word!r}; {hint or 'pretrain, evaluate and views take key.sub=value'}"
            )
    check_once(main, args, rest)
    args.overrides, args.command = rest, shlex.join(["sslfast", *argv])
    return args


def check_once(main: Parser, args: argparse.Namespace, overrides: Sequence[str]) -> None:
    """Ends the program where `data.source` is given beside --data; says which of two values a setting gets."""
    values: dict[str, str] = {}
    for override in overrides:
        key = override.partition("=")[0]
        if key == "data.source" and args.run is not evaluate and args.data is not None:
            main.error(f"--data {args.data[0]} and {override} both name the images; give one")
        if key in values:
            log.warning("%s takes the place of %s", override, values[key])
        values[key] = override


def setting_hint(args: argparse.Namespace, word: str, after: str) -> str:
    """ "did you mean train.epochs=5?" for `--epochs 5`; "" where no setting of the command has this name."""
    from sslfast.config.settings import keys_named
    from sslfast.evaluation import PROTOCOLS
    from sslfast.recipes.load import AnyRecipe

    if not word.startswith("--") or args.run not in (pretrain, evaluate, views):
        return ""
    schema: Any = AnyRecipe
    if args.run is evaluate:
        schema = PROTOCOLS[args.protocol].config if args.protocol in PROTOCOLS else None
    name, _, value = word.removeprefix("--").partition("=")
    value = value or after or "VALUE"
    keys = keys_named(schema, name.rpartition(".")[2].replace("-", "_"))
    return f"did you mean {' or '.join(f'{key}={value}' for key in keys)}?" if keys else ""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code."""
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error has it
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        try:
            return run(argv)
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.filename is None:
            # Of standard output, of which Python flushes what is left when it exits, and would fail again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):  # `sslfast pretrain --help | head`
            return 141  # 128 + SIGPIPE, as a shell has it
        return failed(f"{error.filename or 'cannot read or write'}: {error.strerror or error}")


def run(argv: Sequence[str] | None) -> int:
    """Runs a command, turns its failures into one line, and returns its exit code."""
    handler = logging.StreamHandler()
    handler.setFormatter(PrintableFormatter("%(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("sslfast").setLevel(logging.INFO)
    remedy, going_on = "close other programs", ""
    try:
        args = parse(argv)
        remedy = SHORT_OF_MEMORY.get(args.run, remedy)
        going_on = "; a run goes on from its latest checkpoint with --resume" if args.run is pretrain else ""
        args.run(args)
    except UsageError as error:
        return failed(str(error), code=2)
    except TrainingError as error:
        return failed(str(error))
    except KeyboardInterrupt:  # before or after training, or the second during it
        return failed(f"interrupted{going_on}", code=130)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        reason = " ".join(str(error).split())[:200] or "no more of the host's"
        return failed(f"not enough memory: {reason}; {remedy}")
    return 0


def failed(message: str, code: int = 1) -> int:
    """Says what went wrong in a line, and returns the exit code."""
    print(f"sslfast: {printable(message)}", file=sys.stderr)
    return code
