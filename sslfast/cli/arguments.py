"""From the words of a command line to the arguments of a command."""

from __future__ import annotations

import shlex
import sys
from argparse import Namespace
from collections.abc import Sequence

from sslfast import __version__
from sslfast.cli.bench import BENCH
from sslfast.cli.compare import COMPARE
from sslfast.cli.completion import complete
from sslfast.cli.embed import EMBED
from sslfast.cli.evaluate import EVALUATE
from sslfast.cli.export import EXPORT
from sslfast.cli.info import INFO
from sslfast.cli.list import LIST
from sslfast.cli.overrides import check_once, check_words
from sslfast.cli.parser import Parser
from sslfast.cli.pretrain import PRETRAIN
from sslfast.cli.report import REPORT
from sslfast.cli.search import SEARCH
from sslfast.cli.sweep import SWEEP
from sslfast.cli.views import VIEWS

# As `sslfast --help` has them.
COMMANDS = (PRETRAIN, EVALUATE, EMBED, SEARCH, EXPORT, LIST, VIEWS, REPORT, COMPARE, SWEEP, BENCH, INFO)


def parse(argv: Sequence[str] | None = None) -> Namespace:
    """Parses the arguments, with the command as `chosen`; `key.sub=value` may stand anywhere among them.

    Ends the program with exit code 2 where they cannot be meant, after --help with 0.

    Args:
        argv: the words after the program's name; None: those that it was started with.
    """
    main = parser()
    complete(main)
    argv = sys.argv[1:] if argv is None else argv
    names = [command.name for command in COMMANDS]
    if argv and not argv[0].startswith("-") and argv[0] not in names:
        from sslfast.hints import nearest

        main.error(f"no command {argv[0]!r}{nearest(argv[0], names)}")
    args, rest = main.parse_known_args(argv)
    overrides = rest if args.chosen.settle is None else args.chosen.settle(main, args, rest)
    check_words(main, args, overrides, [command.name for command in COMMANDS if command.schema is not None])
    check_once(main, args, overrides)
    args.overrides, args.command = overrides, shlex.join(["sslfast", *argv])
    return args


def parser() -> Parser:
    """Makes the program's parser, with one of each command."""
    main = Parser(prog="sslfast", description="Self-supervised pre-training of vision encoders, made fast.")
    main.add_argument("--version", action="version", version=f"sslfast {__version__}")
    commands = main.add_subparsers(metavar="COMMAND", required=True, parser_class=Parser)
    for command in COMMANDS:
        command.add_to(commands)
    return main
