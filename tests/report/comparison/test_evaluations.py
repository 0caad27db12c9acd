"""Results side by side: what may stand in a column, and what a row is called."""

from pathlib import Path

import pytest

from sslfast.report.comparison.evaluations import grid, groups
from sslfast.report.comparison.grid import Grid
from sslfast.report.comparison.run import read_runs
from tests.report.comparison.runs import knn_row, write_evaluation, write_run


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    return [write_run(tmp_path / name, "moco_v2") for name in "ab"]


def grids(paths: list[Path]) -> dict[str, Grid]:
    runs = read_runs(paths)
    return {group.title: grid(group, runs) for group in groups(runs)}


def test_the_same_protocol_and_images_share_a_table_with_intervals(two: list[Path]) -> None:
    write_evaluation(two[0], "knn", [knn_row(0.5, class_mean=0.4), knn_row(0.2, "random initialization")])
    write_evaluation(two[1], "knn", [knn_row(0.6), knn_row(0.7, k=20)])
    ((title, table),) = grids(two).items()
    assert title == "knn on CIFAR10: 900 training images, 100 held out"
    assert table.headings == ["run", "held-out top-1, k=5", "mean of classes, k=5", "held-out top-1, k=20"]
    assert table.rows == [
        [("a", ""), ("50.0%", "40.4 to 59.6%"), ("40.0%", ""), ("-", "")],
        [("a", "random initialization"), ("20.0%", "13.3 to 28.9%"), ("-", ""), ("-", "")],
        [("b", ""), ("60.0%", "50.2 to 69.1%"), ("-", ""), ("70.0%", "60.4 to 78.1%")],
    ]


def test_other_images_stand_in_a_table_of_their_own(two: list[Path]) -> None:
    write_evaluation(two[0], "knn", [knn_row(0.5)])
    write_evaluation(two[1], "of_it", [knn_row(0.5)], own_split=True)
    write_evaluation(two[1], "on_test", [knn_row(0.5)], val="CIFAR10:test", val_images=10_000)
    write_evaluation(two[1], "linear", [{"encoder": "pre-trained", "top1": 0.5}], kind="linear")
    assert [*grids(two)] == [
        "knn on CIFAR10: 900 training images, 100 held out",
        "knn on CIFAR10: 900 training images, 100 held out as in pre-training",
        "knn on CIFAR10: 900 training images, 10,000 held out of CIFAR10:test",
        "linear on CIFAR10: 900 training images, 100 held out",
    ]
    assert all(len(table.rows) == 2 for table in grids(two).values())


def test_a_choice_of_classes_is_one_of_images(two: list[Path]) -> None:
    for run, chosen in zip(two, ("birds.txt", "dogs.txt"), strict=True):
        write_evaluation(run, "knn", [knn_row(0.5)], options={"classes": chosen})
    assert [*grids(two)] == [
        f"knn on CIFAR10, classes={chosen}: 900 training images, 100 held out"
        for chosen in ("birds.txt", "dogs.txt")
    ]


def test_of_two_results_of_a_name_the_later_one_stands(two: list[Path]) -> None:
    write_evaluation(two[0], "knn-abc", [knn_row(0.5)])
    write_evaluation(two[0], "knn-abc-2", [knn_row(0.6)])
    (table,) = grids(two).values()
    assert table.rows[0][1][0] == "60.0%"


def test_other_options_make_another_column_unless_no_figure_depends_on_them(two: list[Path]) -> None:
    for run, options in zip(two, ({"lr": 1.0, "device": "cpu"}, {"lr": 2.0, "device": "cuda"}), strict=True):
        write_evaluation(run, "linear", [{"encoder": "pre-trained", "top1": 0.5}], kind="linear", options=options)
    (table,) = grids(two).values()
    assert table.headings == ["run", "held-out top-1, lr=1.0", "held-out top-1, lr=2.0"]
    assert [row[1][0] for row in table.rows] == ["50.0%", "-"]


def test_a_list_of_other_content_makes_another_column(two: list[Path]) -> None:
    for run, digest in zip(two, ("a1", "b2"), strict=True):
        write_evaluation(run, "knn", [knn_row(0.5)], options={"classes": "list.txt"}, lists={"classes": digest})
    (table,) = grids(two).values()
    assert table.headings == ["run", "held-out top-1, classes list=a1", "held-out top-1, classes list=b2"]


def test_several_weights_of_a_run_have_a_row_each(two: list[Path]) -> None:
    write_evaluation(two[0], "early", [knn_row(0.3), knn_row(0.1, "random initialization")], step=4, weights="b2")
    write_evaluation(two[0], "late", [knn_row(0.5), knn_row(0.1, "random initialization")])
    write_evaluation(two[0], "other", [knn_row(0.4)], step=None, weights="c3", checkpoint="x/averaged.safetensors")
    (table,) = grids(two).values()
    assert [(*row[0], row[1][0]) for row in table.rows] == [
        ("a", "at step 4", "30.0%"),
        ("a", "at step 8", "50.0%"),
        ("a", "averaged.safetensors", "40.0%"),
        ("a", "random initialization", "10.0%"),
        ("b", "", "-"),
    ]


def test_the_moving_average_of_an_encoder_has_a_row_of_its_own(two: list[Path]) -> None:
    write_evaluation(two[0], "knn", [knn_row(0.5)])
    write_evaluation(two[0], "average", [knn_row(0.6)], weights="b2", checkpoint="runs/a@momentum")
    (table,) = grids(two).values()
    assert [(*row[0], row[1][0]) for row in table.rows] == [
        ("a", "at step 8, moving average", "60.0%"),
        ("a", "at step 8", "50.0%"),
        ("b", "", "-"),
    ]


def test_of_several_seeds_stands_the_mean_with_its_deviation(two: list[Path]) -> None:
    write_evaluation(two[0], "knn", [knn_row(top1, seed=n) for n, top1 in enumerate((0.4, 0.5, 0.6))])
    write_evaluation(two[1], "knn", [knn_row(0.5, seed=0, confusion=[[0, 0, 50]])], chance=None)
    (table,) = grids(two).values()
    assert table.headings == ["run", "held-out top-1"]
    assert [row[1] for row in table.rows] == [("50.0% ± 10.0", "40.4 to 59.6%"), ("50.0%", "40.4 to 59.6%")]


def test_supervised_encoders_beside_a_run_are_told_apart(two: list[Path]) -> None:
    for name in ("x", "y"):
        row = knn_row(0.5, "supervised")
        write_evaluation(two[0], name, [row], supervised=name, supervised_weights=name)
    (table,) = grids(two).values()
    assert [row[0] for row in table.rows] == [("a", "supervised: x"), ("a", "supervised: y"), ("b", "")]


def test_an_accuracy_that_was_not_measured(two: list[Path]) -> None:
    write_evaluation(two[0], "knn", [knn_row(0.5) | {"top1": None}], data=["a", "b"])
    ((title, table),) = grids(two).items()
    assert title.startswith("knn on a + b: ")
    assert [row[1] for row in table.rows] == [("-", ""), ("-", "")]
