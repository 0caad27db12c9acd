"""`sslfast views`: its arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, path_argument, print_path
from sslfast.cli.completion import completed, recipe_names
from sslfast.cli.overrides import recipe_help, recipe_schema
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    recipe = parser.add_argument("recipe", metavar="RECIPE", help="a recipe's name, or a YAML file")
    completed(recipe, recipe_names)
    parser.add_argument("--data", action="append", metavar=DATA, help="the images (default: the recipe's)")
    parser.add_argument(
        "--out", metavar="FILE.png", type=path_argument, required=True, help="replaced where it exists"
    )


def run(args: Namespace) -> None:
    from sslfast.commands.views import draw
    from sslfast.recipes.load import load_recipe

    print_path(draw(load_recipe(args.recipe, args.overrides, data=args.data), args.out))


VIEWS = Command(
    "views",
    "draw what the networks of a recipe will see",
    run,
    add_arguments,
    usage="sslfast views RECIPE [--data PATH|NAME] --out FILE.png\n                     [key.sub=value ...]",
    schema=recipe_schema,
    describe=recipe_help,
    short_of_memory="lower data.size",
)
