"""The page of an encoder without a run."""

from pathlib import Path

import pytest
import torch

from sslfast.commands import report as command
from sslfast.commands.evaluate import evaluate
from sslfast.commands.report import write_report
from sslfast.config import DataConfig, EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.errors import UsageError
from sslfast.weights import NamedEncoder
from tests.commands.report.runs import read_page, start_run, write_images
from tests.report.markup import Page


def test_an_encoder_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its evaluations and what its features show; not the evaluations of others that lie there too."""
    data = write_images(tmp_path / "images", ["a", "b"], each=12)
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "others.pth")
    settings = ["k=[5]", "val_fraction=0.5", "limit=8"]
    for file in ("theirs.pth", "others.pth"):
        evaluate("knn", tmp_path / file, str(data), overrides=settings, random_baseline=False)
    assert len(list((tmp_path / "evaluation").glob("*.json"))) == 2
    index = write_report(tmp_path / "theirs.pth", str(data))
    assert index == tmp_path / "report" / "theirs.pth.html"
    page = read_page(index)
    assert page.sections() == ["Evaluations", "Nearest neighbors", "Embedding"]
    assert sum("knn on" in text for _, text in page.headings) == 1
    assert "resnet18, 64 features, images of 224 pixels" in page.text
    assert "The run" not in page.text

    config = EncoderConfig(stem="cifar", width=0.125)
    library = NamedEncoder("timm/a<b>", build_encoder(config).eval(), config, DataConfig(size=16))
    monkeypatch.setattr(command, "find_encoder", lambda *_, **__: library)
    monkeypatch.chdir(tmp_path)
    assert write_report("timm/a<b>", str(data)) == Path("report") / "timm_a_b_.html"
    page = Page((tmp_path / "report" / "timm_a_b_.html").read_text())
    assert page.sections() == ["Nearest neighbors", "Embedding"]
    assert page.headings[0] == (1, "timm/a<b>")


def test_files_of_names_that_are_alike_have_pages_of_their_own(tmp_path: Path) -> None:
    data = write_images(tmp_path / "images", ["a", "b"], each=10)
    for name in ("my weights.pth", "my_weights.pth"):
        torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / name)
        assert write_report(tmp_path / name, str(data)) == tmp_path / "report" / f"{name}.html"


def test_an_encoder_without_images_or_that_is_none(tmp_path: Path) -> None:
    torch.save(build_encoder(EncoderConfig(width=0.125)).state_dict(), tmp_path / "theirs.pth")
    with pytest.raises(UsageError, match=r"theirs\.pth: no run's directory, .* give --data"):
        write_report(tmp_path / "theirs.pth")
    with pytest.raises(UsageError, match=r"their\.pth.*expected a run's directory, a file of weights"):
        write_report(tmp_path / "their.pth", "shapes")
    (tmp_path / "report").touch()
    data = write_images(tmp_path / "images", ["a", "b"], each=10)
    with pytest.raises(UsageError, match=r"report: cannot draw the report: File exists"):
        write_report(tmp_path / "theirs.pth", str(data))


def test_how_to_take_a_state_dict_is_refused_for_a_run(tmp_path: Path) -> None:
    run = start_run(tmp_path / "run", tmp_path / "moved")
    with pytest.raises(UsageError, match="--architecture resnet50: .*run has one already"):
        write_report(run, architecture="resnet50")
    with pytest.raises(UsageError, match="--partial: .*run is none"):
        write_report(run, partial=True)
