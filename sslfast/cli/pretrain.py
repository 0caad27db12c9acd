"""`sslfast pretrain`: its arguments."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, path_argument
from sslfast.cli.completion import completed, recipe_names
from sslfast.cli.overrides import recipe_help, recipe_schema
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    recipe = parser.add_argument(
        "recipe",
        metavar="RECIPE",
        nargs="?",
        help="a name that `sslfast list` describes, or a YAML file; to resume, the run's directory",
    )
    completed(recipe, recipe_names)
    parser.add_argument(
        "--data",
        action="append",
        metavar=DATA,
        help="an image folder, a .tar or .tar.xz of one, a torchvision data set, each also with a split "
        "(CIFAR10:test, photographs:val), or `shapes`; given several times, the images of all",
    )
    parser.add_argument(
        "--out", metavar="DIR", type=path_argument, help="the run's directory (default: runs/RECIPE)"
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument(
        "--resume", action="store_true", help="go on with a run, by the settings that it was started with"
    )
    existing.add_argument("--overwrite", action="store_true", help="replace the run in --out")
    parser.add_argument(
        "--extend",
        metavar="train.epochs=N",
        help="with --resume: go on with a run, finished or not, to more epochs; its schedules are then those of N",
    )
    parser.add_argument("--print-config", action="store_true", help="print the recipe that would run, and stop")


def settle(parser: Parser, args: Namespace, rest: list[str]) -> list[str]:
    if args.resume and args.recipe and "=" in args.recipe and not Path(args.recipe).exists():
        args.recipe, rest = None, [args.recipe, *rest]  # a setting: the recipe is the run's
    if not (args.recipe or args.resume):
        parser.error("pretrain: give a RECIPE, or --resume and a run's directory")
    return rest


def run(args: Namespace) -> None:
    from sslfast.commands.pretrain import pretrain
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
    pretrain(
        recipe,
        out,
        data=args.data,
        overrides=args.overrides,
        resume=args.resume,
        overwrite=args.overwrite,
        extend=args.extend,
    )


PRETRAIN = Command(
    "pretrain",
    "pre-train an encoder",
    run,
    add_arguments,
    usage="sslfast pretrain RECIPE [--data PATH|NAME] [--out DIR] [--overwrite]\n"
    "                        [key.sub=value ...]\n"
    "       sslfast pretrain --resume RUN [--extend train.epochs=N]\n"
    "                        [--data PATH|NAME] [key.sub=value ...]",
    schema=recipe_schema,
    describe=recipe_help,
    settle=settle,
    short_of_memory="lower data.batch_size, data.size, encoder.width or method.queue_size; "
    "if the images themselves do not fit, set data.pipeline=dali",
    interrupted="interrupted; a run goes on from its latest checkpoint with --resume",
)
