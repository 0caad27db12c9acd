"""Embeddings: what is found in them, and that a file gives them back."""

import csv
import dataclasses

import numpy as np
import pytest
import torch

from sslfast import extras
from sslfast.embeddings.embeddings import Embeddings
from sslfast.embeddings.files import read, write
from sslfast.errors import UsageError

# The second is nearly the first, the third its opposite, the fourth at right angles.
VECTORS = np.array([[2, 0], [1, 0.1], [-3, 0], [0, 5]], dtype=np.float32)


@pytest.fixture
def embeddings():
    return Embeddings(
        VECTORS, ["a.png", "b\n.png", "c.png", "d.png"], np.array([0, 1, 1, 0]), ["x", "y"], "run", "1f"
    )


def test_the_nearest_come_first(embeddings):
    rows = embeddings.nearest(torch.tensor([[1.0, 0.0], [0.0, -1.0]]), k=2)
    assert [[match.other for match in row] for row in rows] == [[0, 1], [0, 2]]
    assert [match.image for match in rows[1]] == [1, 1]
    assert rows[0][0].similarity == pytest.approx(1)
    assert rows[0][1].similarity == pytest.approx(1 / 1.01**0.5)
    assert [match.other for match in embeddings.nearest(torch.ones(1, 2), k=1)[0]] == [1]
    assert len(embeddings.nearest(torch.ones(1, 2), k=8)[0]) == 4


@pytest.mark.parametrize("held", [2**24, 1])
def test_more_neighbors_than_the_op_finds(held, monkeypatch):
    """The first 8 are the op's; one query at a time, where no more similarities are to be held."""
    monkeypatch.setattr("sslfast.embeddings.embeddings.SIMILARITIES", held)
    generator = torch.Generator().manual_seed(0)
    many = Embeddings(torch.randn(30, 4, generator=generator).numpy(), [f"{n}.png" for n in range(30)])
    query = torch.randn(3, 4, generator=generator)
    some, more, all_of_them = (many.nearest(query, k) for k in (8, 20, 99))
    places = [[[match.other for match in row] for row in rows] for rows in (some, more, all_of_them)]
    assert [row[:8] for row in places[1]] == places[0]
    assert [row[:20] for row in places[2]] == places[1]
    assert all(sorted(row) == list(range(30)) for row in places[2])
    cosines = torch.tensor([[match.similarity for match in row] for row in all_of_them])
    x = torch.from_numpy(many.features)
    expected = torch.cosine_similarity(query[:, None], x[None], dim=2).sort(dim=1, descending=True).values
    torch.testing.assert_close(cosines, expected)


def test_duplicates_are_pairs_each_once(embeddings, monkeypatch):
    pairs = [(0, 1), (1, 3), (0, 3), (2, 3)]
    for chunk in (None, 1):
        if chunk:
            monkeypatch.setattr("sslfast.embeddings.embeddings.SIMILARITIES", chunk)
        assert [match[1:] for match in embeddings.duplicates(0.9)] == pairs[:1]
        assert [match[1:] for match in embeddings.duplicates(-0.01)] == pairs


def test_what_cannot_be_found_is_refused(embeddings):
    with pytest.raises(UsageError, match="k=0: expected at least 1 neighbor"):
        embeddings.nearest(torch.ones(1, 2), 0)
    with pytest.raises(UsageError, match="duplicates of a cosine of 95: expected -1 to 1"):
        embeddings.duplicates(95)
    patches = dataclasses.replace(embeddings, features=VECTORS[..., None, None])
    with pytest.raises(UsageError, match=r"of patches, \(N, D, h, w\); embed the images without --patches"):
        patches.duplicates(0.5)


def same(one, other):
    for name, value in vars(one).items():
        np.testing.assert_array_equal(getattr(other, name), value, name)


@pytest.mark.parametrize("suffix", ["npz", "parquet"])
def test_a_file_gives_them_back(embeddings, tmp_path, suffix):
    if suffix == "parquet":
        pytest.importorskip("pyarrow")
    unlabeled = dataclasses.replace(
        embeddings, features=np.arange(48, dtype=np.float32).reshape(4, 3, 2, 2), labels=None, classes=[]
    )
    for each in (embeddings, unlabeled):
        path = write(each, tmp_path / f"embeddings.{suffix}")
        same(each, read(path))
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_table_has_a_column_a_feature(embeddings, tmp_path):
    write(embeddings, tmp_path / "embeddings.csv")
    with (tmp_path / "embeddings.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head == ["image", "label", "f0", "f1"]
    assert rows[1] == ["b\n.png", "y", "1.0", "0.1"]
    np.testing.assert_array_equal(np.array([row[2:] for row in rows], dtype=np.float32), VECTORS)
    write(dataclasses.replace(embeddings, labels=None, classes=[]), tmp_path / "embeddings.csv")
    assert (tmp_path / "embeddings.csv").read_text().splitlines()[1] == "a.png,,2.0,0.0"


def test_what_is_no_file_of_embeddings(embeddings, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match=r"expected the name of a .npz, .parquet or .csv file"):
        write(embeddings, tmp_path / "embeddings.txt")
    with pytest.raises(UsageError, match="patches do not fit into a table; take .npz or .parquet"):
        write(dataclasses.replace(embeddings, features=VECTORS[..., None, None]), tmp_path / "embeddings.csv")
    with pytest.raises(UsageError, match=r"no/e.npz: cannot write the embeddings: No such file"):
        write(embeddings, tmp_path / "no" / "e.npz")
    for content in (b"", b"PK\3\4", np.arange(3).tobytes()):
        (tmp_path / "e.npz").write_bytes(content)
        with pytest.raises(UsageError, match="no embeddings that `sslfast embed` wrote"):
            read(tmp_path / "e.npz")
    monkeypatch.setattr(extras, "_is_installed", lambda module: module != "pyarrow")
    with pytest.raises(UsageError, match=r'e.parquet needs pyarrow: pip install "sslfast\[data\]"'):
        write(embeddings, tmp_path / "e.parquet")
