"""`sslfast info`: it takes no arguments."""

from __future__ import annotations

from argparse import Namespace

from sslfast.cli.command import Command


def run(_: Namespace) -> None:
    from sslfast.commands.info import describe

    print(describe())


INFO = Command("info", "versions, GPU, and which kernels are usable and why not", run)
