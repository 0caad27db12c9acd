"""`sslfast bench --static`: the table of what the compiler says, from its records."""

import json

import pytest

from sslfast import cli
from sslfast.benchmarks.ops import static
from sslfast.errors import UsageError
from tests.kernels.architectures import ARCHITECTURES
from tests.kernels.launches import launches


def test_every_launch_is_recorded_for_every_architecture():
    for name, op in launches().items():
        recorded = json.loads((static.COMPILED / f"{name}.json").read_text())["launches"]
        found = [(launch["sm"], launch["launch"]) for launch in recorded]
        assert found == [(arch, launch) for arch in ARCHITECTURES for launch, _ in op.cases(arch)], name


def test_the_command_shows_an_ops_launches_and_that_they_are_not_measured(capsys):
    assert cli.main(["bench", "--static", "--op", "enqueue_"]) == 0
    note, head, *lines = capsys.readouterr().out.splitlines()
    assert note.startswith("compiled, not measured: triton ")
    launch = json.loads((static.COMPILED / "enqueue.json").read_text())["launches"][0]
    assert lines[0].split()[:3] == ["enqueue", str(launch["sm"]), str(launch["registers"])]
    assert head.split()[-1] == "launch"
    assert len(lines) == len(ARCHITECTURES)


def test_without_an_op_all_are_shown():
    lines = static.table().splitlines()
    assert {line.split()[0] for line in lines[2:]} == launches().keys()


def test_an_op_without_triton_kernels_and_a_package_without_records(tmp_path):
    with pytest.raises(
        UsageError,
        match="--op ema_update_: no op of this name has Triton kernels; choose from .*info_nce",
    ):
        static.table("ema_update_")
    with pytest.raises(UsageError, match="has no records; `make static` in the source tree makes them"):
        static.table(folder=tmp_path)


def test_it_writes_no_files(tmp_path, capsys):
    assert cli.main(["bench", "--static", "--json", str(tmp_path / "x.json")]) != 0
    assert "bench --static: it shows what is recorded" in capsys.readouterr().err
