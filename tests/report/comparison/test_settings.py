"""The settings in which runs differ."""

from pathlib import Path

from sslfast.report.comparison.run import read_runs
from sslfast.report.comparison.settings import different_settings
from tests.report.comparison.runs import write_run


def test_settings_by_their_whole_keys(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path / "a", "moco_v2", "data.views.1.blur=0.5", "optim.lr=0.06"),
        write_run(tmp_path / "b", "moco_v2", "data.views.1.blur=0.1", "optim.lr=0.06", "train.seed=3"),
    ]
    assert different_settings(read_runs(runs)) == {"data.views.1.blur": ["0.5", "0.1"], "train.seed": ["0", "3"]}


def test_runs_of_different_methods(tmp_path: Path) -> None:
    """Keys that one run lacks have no value; a view that one lacks is a setting as a whole."""
    runs = [write_run(tmp_path / name, name, "data.size=128") for name in ("moco_v2", "supervised", "swav")]
    found = different_settings(read_runs(runs))
    assert found["method.name"] == ["moco_v2", "supervised", "swav"]
    assert found["method.num_classes"] == [None, "null", None]
    assert found["method.prototypes"][:2] == [None, None]
    assert not [key for key in found if key.startswith(("data.views.1.", "data.views.2."))]
    assert found["data.views.1"][1:] == [None, found["data.views.1"][2]]
    assert found["data.views.2"][:2] == [None, None]
    assert "scale=[0.05, 0.14]" in str(found["data.views.2"][2])
    sections = [key.partition(".")[0] for key in found]
    assert sections == sorted(sections, key=["method", "encoder", "data", "optim", "train"].index)
