"""The command that checks the methods, on few images."""

import pytest

from sslfast.benchmarks.methods import check
from sslfast.benchmarks.methods.short import SHORT, Short
from tests.benchmarks.methods.small import SMALL, noise


@pytest.fixture
def command(tmp_path, monkeypatch):
    """Runs the command on few images, with moco_v2 made small."""
    monkeypatch.setattr(check, "open_source", noise)
    monkeypatch.setitem(SHORT, "moco_v2", Short(SMALL, "a test"))
    monkeypatch.setitem(SHORT, "supervised", Short(("data.batch_size=16",), "a test"))

    def main(*arguments, out="out"):
        common = ["--data", "noise", "--images", "64", "--held-out", "32", "--width", "0.125"]
        folders = ["--out", str(tmp_path / out), "--runs", str(tmp_path / "runs")]
        return check.main(["--method", "moco_v2", "--jobs", "1", *common, *folders, *arguments])

    return main
