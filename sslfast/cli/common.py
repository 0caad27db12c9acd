"""Arguments that several commands take, and how paths are printed."""

from __future__ import annotations

from pathlib import Path

from sslfast.cli.parser import Parser
from sslfast.errors import printable

DATA = "PATH|NAME"
ENCODER = (
    "a run's directory or checkpoint (RUN@momentum: the moving average of its encoder), a file of weights "
    "(.safetensors, or .pth of other software), torchvision/<model>[@<weights>], timm/<model>[@<tag>], or random"
)


def add_encoder(parser: Parser) -> None:
    """Gives a command the encoder that it is about."""
    parser.add_argument("encoder", metavar="ENCODER", help=ENCODER)


def add_state_dict(parser: Parser) -> None:
    """Gives a command the options that tell how to take a state dict of other software."""
    parser.add_argument(
        "--architecture",
        metavar="NAME",
        help="the network of a state dict that is no ResNet's, as encoder.name of a recipe takes it",
    )
    parser.add_argument("--partial", action="store_true", help="of a state dict take what fits")


def path_argument(text: str) -> Path:
    """Makes a path, with a home folder in place of `~`: a shell leaves that of `--out=~/run` as it is."""
    from sslfast.config.paths import user_path

    return user_path(text)


def print_path(path: Path) -> None:
    print(printable(str(path)))
