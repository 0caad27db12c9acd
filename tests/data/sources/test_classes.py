"""A choice of classes by a list of their names."""

import re

import pytest

from sslfast.config import DataConfig
from sslfast.data import open_data, open_source
from sslfast.data.sources.classes import names_in_short, read_classes
from sslfast.errors import UsageError


@pytest.fixture
def listed(tmp_path):
    def write(text):
        path = tmp_path / "list.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return str(path)

    return write


def test_the_list_chooses_and_orders(make_folder, listed):
    root = str(make_folder(classes=("ant", "bee", "cat #2"), per_class=2))
    file = listed("# two of three\n\n  cat #2 \nant # an insect\n".replace("cat #2", "cat"))
    assert read_classes(file) == ["cat", "ant"]
    root = str(make_folder(classes=("ant", "bee", "cat"), per_class=2))
    source = open_data(DataConfig(source=root, classes=file))
    assert source.classes == ["cat", "ant"]
    assert source.labels.tolist() == [1, 1, 0, 0]
    assert [path.parent.name for path in source.paths] == ["ant", "ant", "cat", "cat"]


def test_a_limit_is_of_the_chosen_classes(make_folder):
    root = str(make_folder(classes=("ant", "bee", "cat"), per_class=4))
    source = open_source(root, classes=["bee", "cat"], limit=4)
    assert sorted(source.labels.tolist()) == [0, 0, 1, 1]


def test_labels_can_be_left_out_after_the_choice(make_folder):
    source = open_source(str(make_folder(classes=("ant", "bee"))), classes=["bee"], labels=False)
    assert (len(source), source.labels, source.classes) == (4, None, [])


def test_classes_that_are_not_there(make_folder, tmp_path):
    root = str(make_folder(classes=("ant", "bee")))
    with pytest.raises(
        UsageError, match="images: lacks 2 of the 3 classes that classes= names: cow, dog; it has ant, bee"
    ):
        open_source(root, classes=["cow", "ant", "dog"])
    source = open_source(root, classes=["cow", "bee"], allow_missing=True)
    assert (source.classes, source.labels.tolist()) == (["bee"], [0] * 4)
    with pytest.raises(UsageError, match="lacks 1 of the 1 classes"):
        open_source(root, classes=["cow"], allow_missing=True)
    with pytest.raises(UsageError, match="its images have no labels, by which classes= could choose"):
        open_source(f"{root}/ant", classes=["ant"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "names no class; write one a line"),
        ("# only\n\n", "names no class"),
        ("ant\nbee\nant\n", "ant more than once"),
        (b"\xff\xfe", "cannot be read as text"),
    ],
)
def test_lists_that_cannot_serve(listed, text, message):
    file = listed(text)
    with pytest.raises(UsageError, match=f"classes={re.escape(file)}: {message}"):
        read_classes(file)


def test_lists_by_name(tmp_path, monkeypatch):
    with pytest.raises(
        UsageError, match="classes=imagenet10: no such file or list of classes; did you mean 'imagenet100'"
    ):
        read_classes("imagenet10")
    with pytest.raises(UsageError, match="cannot be read as text"):
        read_classes(str(tmp_path))
    classes = read_classes("imagenet100")
    assert len(classes) == len(set(classes)) == 100
    assert classes == sorted(classes)
    assert all(re.fullmatch(r"n\d{8}", name) for name in classes)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "imagenet100").write_text("ant\n")
    assert read_classes("imagenet100") == ["ant"]  # a path wins over a name
    assert read_classes(None) is None


def test_many_names_are_cut_short():
    assert names_in_short(["a", "b"]) == "a, b"
    assert names_in_short(list("abcdefg")) == "a, b, c, d, e and 2 more"
    assert names_in_short(["a\x1b"]) == r"a\x1b"


def test_names_themselves(tmp_path, monkeypatch):
    assert read_classes("cat, ant,") == ["cat", "ant"]
    assert read_classes("cat", ["ant", "cat"]) == ["cat"]  # which alone would be a list
    long = [f"a class of number {n}" for n in range(50)]
    assert read_classes(",".join(long)) == long  # longer than a file's name can be
    with pytest.raises(UsageError, match="classes=cat,ant,cat: cat more than once"):
        read_classes("cat,ant,cat")
    with pytest.raises(UsageError, match="classes=,: names no class"):
        read_classes(",")
    with pytest.raises(UsageError, match="classes=cta: no such file or list of classes; did you mean 'cat'"):
        read_classes("cta", ["ant", "cat"])
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat,ant").write_text("bee")
    assert read_classes("cat,ant") == ["bee"]
