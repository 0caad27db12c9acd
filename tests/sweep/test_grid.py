"""The cells of a sweep."""

import pytest

from sslfast.errors import UsageError
from sslfast.recipes.files import ablations
from sslfast.recipes.load import load_recipe
from sslfast.sweep.grid import Sweep, cells, read_sweep

RECIPE = "moco_v2_shapes"


def runs(*overrides, name=RECIPE, **given):
    return [(cell.row, cell.overrides) for cell in cells(read_sweep(name, overrides, **given))]


def test_lists_are_combined_and_single_values_hold_for_all():
    assert runs("method.dim=[8,16]", "optim.lr=[0.1,1e-3]", "train.epochs=2") == [
        ("method.dim=8 optim.lr=0.1", ("train.epochs=2", "method.dim=8", "optim.lr=0.1", "train.seed=0")),
        ("method.dim=8 optim.lr=1e-3", ("train.epochs=2", "method.dim=8", "optim.lr=1e-3", "train.seed=0")),
        ("method.dim=16 optim.lr=0.1", ("train.epochs=2", "method.dim=16", "optim.lr=0.1", "train.seed=0")),
        ("method.dim=16 optim.lr=1e-3", ("train.epochs=2", "method.dim=16", "optim.lr=1e-3", "train.seed=0")),
    ]


def test_a_setting_that_is_a_list_takes_one():
    assert runs("optim.betas=[0.5,0.6]") == [("default", ("optim.betas=[0.5, 0.6]", "train.seed=0"))]
    assert [row for row, _ in runs("optim.betas=[[0.5,0.6],[0.7,0.8]]")] == [
        "optim.betas=[0.5, 0.6]",
        "optim.betas=[0.7, 0.8]",
    ]


def test_every_row_has_the_first_seed_before_any_has_the_second():
    assert [(row, each[-1]) for row, each in runs("method.dim=[8,16]", seeds=2)] == [
        ("method.dim=8", "train.seed=0"),
        ("method.dim=16", "train.seed=0"),
        ("method.dim=8", "train.seed=1"),
        ("method.dim=16", "train.seed=1"),
    ]


def test_a_file_names_rows_which_may_be_of_other_recipes(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "recipe: moco_v2_shapes\nevaluate: knn\nseeds: 3\nsettings: {train.epochs: 2, data.source: 'yes'}\n"
        "rows: {a: {}, b: {recipe: simclr_cifar10, train.epochs: 4}}\ngrid: {optim.lr: [1, 2]}\n"
    )
    sweep = read_sweep(str(path), ["optim.lr=3", "optim.momentum=[0,0.5]"], seeds=1)
    assert (sweep.evaluate, sweep.seeds) == ("knn", 1)
    found = cells(sweep)
    shared = ("optim.lr=3", "train.seed=0")
    assert [(cell.row, cell.recipe) for cell in found] == [
        ("a optim.momentum=0", RECIPE),
        ("a optim.momentum=0.5", RECIPE),
        ("b optim.momentum=0", "simclr_cifar10"),
        ("b optim.momentum=0.5", "simclr_cifar10"),
    ]
    assert all(set(shared) <= set(cell.overrides) for cell in found)
    assert 'data.source="yes"' in found[0].overrides  # which YAML would read as true
    assert "train.epochs=4" in found[2].overrides


def test_names_of_directories():
    (cell,) = cells(Sweep(recipe=RECIPE, rows={"a/b, c": {}}))
    assert cell.name == "a-b--c-seed0"
    with pytest.raises(UsageError, match="'a b' and 'a/b' would have one directory, a-b-seed0"):
        cells(Sweep(recipe=RECIPE, rows={"a b": {}, "a/b": {}}))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["method.dim=[]"], r"method\.dim=\[\]: expected at least one value"),
        (["method.dim"], r"'method\.dim': expected key\.sub=value or 'key\.sub=\[a,b,c\]'"),
        (["method.dim=[1"], "the value is not YAML"),
    ],
)
def test_settings_that_are_none(overrides, message):
    with pytest.raises(UsageError, match=message):
        cells(read_sweep(RECIPE, overrides))


def test_names_that_are_none(tmp_path):
    with pytest.raises(
        UsageError, match="no such recipe or file.*; nor is it an ablation; did you mean 'mncl_table2'"
    ):
        read_sweep("mncl_tabel2")
    path = tmp_path / "sweep.yaml"
    path.write_text("recipe: moco_v2_shapes\ngird: {}\n")
    with pytest.raises(UsageError, match="unknown key 'gird'; did you mean 'grid'"):
        read_sweep(str(path))
    path.write_text("[")
    with pytest.raises(UsageError, match="not YAML"):
        read_sweep(str(path))
    path.write_text("method: {name: simclr}\n")
    assert read_sweep(str(path)).recipe == str(path)  # a recipe


def test_the_papers_tables_have_their_rows():
    rows = {name: [cell.row for cell in cells(read_sweep(name))] for name in ablations()}
    methods = ["moco_v2", "simsiam", "simclr", "byol", "nnclr", "fast_moco", "mncl"]
    for images in ("cifar10", "cifar100", "tinyimagenet"):
        assert rows[f"mncl_table1_{images}"] == methods
    assert rows["mncl_table2"] == [f"method.lam={value}" for value in (2, 4, 6, 8, 10)]
    assert rows["mncl_table3"] == ["nnclr", "one embedding", "mncl"]
    assert rows["mncl_table4"] == [f"method.combine={value}" for value in (1, 2, 3, 4)]
    assert len(rows["lewel_table5"]) == 4
    assert len(rows["lewel_table7"]) == 9


def test_the_papers_tables_are_of_the_classes_that_their_runs_have():
    for name in ablations():
        sweep = read_sweep(name)
        judged = [word for word in sweep.evaluate.split() if word.startswith("classes=")]
        for cell in cells(sweep):
            chosen = load_recipe(cell.recipe, cell.overrides).data.classes
            assert judged == ([] if chosen is None else [f"classes={chosen}"]), (name, cell.row)
