"""Paths among the arguments, and those that are printed."""

from tests.cli.command_line import TINY, run


def test_a_home_folder_is_found_in_every_path(capsys, tmp_path, monkeypatch):
    """A shell leaves `--out=~/x` as it is."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text("method: {name: moco_v2}\n")
    code, out, _ = run(capsys, "views", "~/mine.yaml", "--out=~/views.png", *TINY)
    assert (code, out) == (0, f"{tmp_path}/views.png\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "note").touch()
    for argv, message in (
        (["report", "~/run"], "run: holds no run"),
        (["evaluate", "knn", "~/run", "--data", "shapes"], "run: holds no checkpoint"),
        (["export", "~/run", "--format", "torchvision", "--out=~/a.safetensors"], "run: holds no checkpoint"),
        (["pretrain", "moco_v2_shapes", "--out=~/note"], "note: holds files that are no run's"),
    ):
        assert f"{tmp_path}/{message}" in run(capsys, *argv)[2]
    assert not (tmp_path / "~").exists()


def test_messages_show_names_escaped(capsys, tmp_path):
    name = f"{tmp_path}/x\x1b[31m\n\udcb4"
    for argv in (
        ["pretrain", "moco_v2_shapes", "--data", name],
        ["evaluate", "knn", name, "--data", "shapes"],
        ["report", name],
        ["list", name],
        ["pretrain", name],
    ):
        code, out, err = run(capsys, *argv)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert r"/x\x1b[31m\n\udcb4" in err
