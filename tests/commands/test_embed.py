"""`sslfast embed` and `sslfast search`, from a folder of images to lines on the terminal."""

import pytest
import torch
from PIL import Image
from torchvision.models import resnet18

import sslfast
from sslfast.cli import main
from sslfast.embeddings.files import read
from sslfast.errors import UsageError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Writes images of 16 pixels in two classes, two of them the same, one file that is none, and weights."""
    path = tmp_path_factory.mktemp("embed")
    for number, name in enumerate(["a/0", "a/1", "b/2", "b/3"]):
        file = path / "images" / f"{name}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.linear_gradient("L").resize((16, 16)).rotate(90 * (number % 3)).save(file)
    (path / "images" / "b" / "4.png").write_bytes(b"no image")
    torch.manual_seed(0)
    torch.save(resnet18(num_classes=2).state_dict(), path / "weights.pth")
    return path


@pytest.fixture(scope="module")
def embedded(folder):
    arguments = ["embed", str(folder / "weights.pth"), "--data", str(folder / "images")]
    assert main([*arguments, "--out", str(folder / "e.npz"), "max_bad=0.5"]) == 0
    return read(folder / "e.npz")


def test_features_have_names_and_labels(folder, embedded):
    names = [str(folder / "images" / name) for name in ("a/0.png", "a/1.png", "b/2.png", "b/3.png")]
    assert embedded.images == names
    assert (embedded.labels.tolist(), embedded.classes) == ([0, 0, 1, 1], ["a", "b"])
    assert (embedded.features.shape, embedded.encoder) == ((4, 512), str(folder / "weights.pth"))


def test_maps_have_the_features_as_their_mean(folder, embedded):
    data = [str(folder / "images" / "a")]
    maps = sslfast.embed(folder / "weights.pth", data, patches=True, limit=1, precision="fp32")
    assert maps.features.shape == (1, 512, 7, 7)
    row = embedded.images.index(maps.images[0])
    mean, expected = torch.from_numpy(maps.features.mean((2, 3))[0]), torch.from_numpy(embedded.features[row])
    torch.testing.assert_close(mean, expected, rtol=1e-3, atol=1e-4)


def test_the_nearest_image_of_an_image_is_itself(folder, embedded, capsys):
    query = str(folder / "images" / "a" / "1.png")
    assert main(["search", str(folder / "e.npz"), query, "--k", "2"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"1.0000  {query}"
    assert float(second.split()[0]) < 1


def test_an_encoder_embeds_the_images_to_search(folder, capsys):
    images = str(folder / "images" / "a")
    assert main(["search", str(folder / "weights.pth"), "--data", images, f"{images}/1.png", "--k", "1"]) == 0
    assert capsys.readouterr().out == f"1.0000  {images}/1.png\n"


def test_duplicates_are_pairs_of_names(folder, embedded, capsys):
    assert main(["search", str(folder / "e.npz"), "--duplicates", "0.99999"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line == f"1.0000  {embedded.images[0]}  {embedded.images[3]}"


def test_images_of_ones_own_are_named_by_their_places(folder):
    found = sslfast.embed(folder / "weights.pth", torch.zeros(2, 8, 8, 3, dtype=torch.uint8), folder / "own.csv")
    assert (found.images, found.labels) == (["0", "1"], None)
    assert (folder / "own.csv").read_text().startswith("image,label,f0,f1,")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["e.npz"], "give either the file of an image, or --duplicates COSINE"),
        (["e.npz", "images/a/0.png", "--duplicates", "0.9"], "give either"),
        (["e.npz", "no.png"], "no.png: no such file or folder"),
        (["e.npz", "weights.pth"], "none of its 1 images can be read|cannot identify"),
        (["e.npz", "images/a/0.png", "--data", "images"], "e.npz: holds embeddings; leave out --data"),
        (["weights.pth", "images/a/0.png"], "for an encoder give --data as well"),
        (["other.npz", "images/a/0.png"], "made by other weights than .*weights.pth has now; embed again"),
    ],
)
def test_what_a_search_cannot_mean(folder, embedded, monkeypatch, arguments, message):
    from dataclasses import replace

    from sslfast.cli.arguments import parse
    from sslfast.embeddings.files import write

    monkeypatch.chdir(folder)
    write(replace(embedded, weights="0"), "other.npz")
    args = parse(["search", *arguments])
    with pytest.raises(UsageError, match=message):
        args.chosen.run(args)
