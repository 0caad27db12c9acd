"""`sslfast views`; the sheet that it draws is in tests/report/test_sheet.py."""

from pathlib import Path

import pytest
from PIL import Image

from sslfast.cli import main
from sslfast.commands.views import draw
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe

FEW = ["data.limit=20"]


def test_the_command_draws_a_sheet(capsys, tmp_path: Path) -> None:
    path = tmp_path / "sheet.png"
    assert main(["views", "moco_v2_shapes", "--out", str(path), *FEW, "data.views=simclr_cifar"]) == 0
    assert capsys.readouterr().out == f"{path}\n"
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"


def test_a_sheet_replaces_the_one_before(tmp_path: Path) -> None:
    path = tmp_path / "sheet.PNG"
    path.write_text("an earlier one")
    assert draw(load_recipe("moco_v2_shapes", FEW), path) == path
    with Image.open(path) as sheet:
        assert sheet.format == "PNG"


def test_a_sheet_is_a_png(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--out .*sheet\.jpg: expected the name of a \.png file"):
        draw(load_recipe("moco_v2_shapes", FEW), tmp_path / "sheet.jpg")
    assert not any(tmp_path.iterdir())


def test_an_unreadable_image_stops_it_where_the_recipe_says_so(tmp_path: Path) -> None:
    (tmp_path / "b.png").touch()
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    settings = [f"data.source={tmp_path}", "data.on_error=stop", "data.max_bad=1"]
    with pytest.raises(UsageError, match=r"cannot read .*b\.png .*on_error=skip"):
        draw(load_recipe("moco_v2_shapes", settings), tmp_path / "sheet.png")
