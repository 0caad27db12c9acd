"""What every command promises."""

import importlib

import pytest

from sslfast.cli.arguments import COMMANDS
from tests.cli.command_line import run


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_is_in_the_file_of_its_name_and_in_the_help(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")  # a line each
    assert command in vars(importlib.import_module(f"sslfast.cli.{command.name}")).values()
    lines = [line.split() for line in run(capsys, "--help")[1].splitlines()]
    assert [command.name, *command.summary.split()] in lines
    code, out, err = run(capsys, command.name, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: sslfast {command.name} ")
