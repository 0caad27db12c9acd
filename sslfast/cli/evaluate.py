"""`sslfast evaluate`: its arguments."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from sslfast.cli.command import Command
from sslfast.cli.common import DATA, add_encoder, add_state_dict
from sslfast.cli.completion import completed, protocol_names
from sslfast.cli.parser import Parser


def add_arguments(parser: Parser) -> None:
    protocol = parser.add_argument("protocol", metavar="PROTOCOL", help="knn, linear, finetune, segment or detect")
    completed(protocol, protocol_names)
    add_encoder(parser)
    parser.add_argument(
        "--data",
        action="append",
        metavar=DATA,
        required=True,
        help="labeled images, as for pretrain; for segment with masks",
    )
    parser.add_argument(
        "--val",
        action="append",
        metavar=DATA,
        help="images to test on (default: a data set's test split; of other data those that pre-training held "
        "out, or a fixed 10%%)",
    )
    parser.add_argument("--random-baseline", action="store_true", help="test random weights as well")
    parser.add_argument(
        "--supervised", metavar="ENCODER", help="test another encoder as well, which was trained with labels"
    )
    add_state_dict(parser)


def schema(args: Namespace) -> Any:
    from sslfast.evaluation.configs import CONFIGS

    return CONFIGS.get(args.protocol)


def help_text(part: str) -> str:
    from sslfast.evaluation.help import describe

    return describe(part)


def run(args: Namespace) -> None:
    from sslfast.commands.evaluate import evaluate

    evaluation = evaluate(
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


EVALUATE = Command(
    "evaluate",
    "test a frozen encoder",
    run,
    add_arguments,
    usage="sslfast evaluate PROTOCOL ENCODER --data PATH|NAME [--val PATH|NAME]\n"
    "                        [key=value ...]",
    schema=schema,
    describe=help_text,
    short_of_memory="lower limit",
)
