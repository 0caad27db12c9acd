"""The recipes of MNCL's table 1 and of LEWEL's ablations, each of which one file states."""

import dataclasses

import pytest

from sslfast.evaluation.linear.config import PUBLISHED
from sslfast.recipes.families import members
from sslfast.recipes.load import FOLDER, load_recipe

METHODS = ("moco_v2", "simsiam", "simclr", "byol", "nnclr", "fast_moco", "mncl")
IMAGES = {"cifar10": ("CIFAR10", 32), "cifar100": ("CIFAR100", 32), "tinyimagenet": (None, 64)}
TABLE, ABLATIONS = (
    {name: load_recipe(name) for name, member in members(FOLDER).items() if member.family.stem == family}
    for family in ("mncl", "imagenet100")
)


def test_the_table_is_whole():
    assert set(TABLE) == {f"{method}_mncl_{images}" for method in METHODS for images in IMAGES}


@pytest.mark.parametrize("name", TABLE)
def test_every_cell_has_the_papers_protocol(name):
    """Li, Long, Li 2023, section 4.1."""
    recipe = TABLE[name]
    source, size = IMAGES[name.rpartition("_")[2]]
    data, optim, method = recipe.data, recipe.optim, recipe.method
    assert name.startswith(method.name)
    assert (data.size, data.batch_size, data.val_fraction) == (size, 256, 0)
    assert source in (None, data.source)
    assert (optim.name, optim.lr, optim.momentum, optim.weight_decay) == ("sgd", 0.1, 0.9, 1e-4)
    assert (optim.schedule, optim.final_lr, optim.warmup_epochs, recipe.train.epochs) == ("cosine", 0.0, 0, 200)
    assert (recipe.encoder.name, recipe.encoder.stem) == ("resnet18", "cifar")
    for setting, value in (("queue_size", 16384), ("temperature", 1.0), ("momentum", 0.99)):
        assert getattr(method, setting, value) == value
    assert getattr(method, "momentum_schedule", "constant") == "constant"
    assert len(data.views) == (3 if method.name == "mncl" else 2)
    assert all(view == data.views[0] for view in data.views)
    assert min(data.views[0].blur, data.views[0].jitter, data.views[0].flip) > 0


def test_methods_differ_in_nothing_but_their_networks():
    for method in METHODS:
        recipe, other = TABLE[f"{method}_mncl_cifar100"], TABLE["simclr_mncl_cifar100"]
        views = recipe.data.views[:1]
        assert dataclasses.replace(recipe.data, views=views) == dataclasses.replace(other.data, views=views)
        assert (recipe.optim, recipe.train) == (other.optim, other.train)


def test_sets_of_images_differ_in_nothing_but_the_images():
    small, large = (TABLE[f"mncl_mncl_{images}"] for images in ("cifar10", "tinyimagenet"))
    assert (small.method, small.optim, small.train, small.encoder) == (
        *(large.method, large.optim, large.train, large.encoder),
    )
    assert small.data.mean != large.data.mean


def test_overrides_reach_members():
    recipe = load_recipe("byol_mncl_cifar10", ["method.momentum=0.5", "data.views.1.blur=0"])
    assert (recipe.method.momentum, recipe.data.views[1].blur) == (0.5, 0)


def test_its_linear_probe_is_a_protocol():
    assert PUBLISHED["mncl"] == {"form": "lars", "epochs": 90, "lr": 0.8, "batch_size": 256}


@pytest.mark.parametrize("name", ["lewel_m", "lewel_b"])
def test_lewels_ablations_train_as_on_imagenet_at_twice_the_rate(name):
    """Huang et al. 2022, section 3.3."""
    paper, recipe = load_recipe(f"{name}_imagenet"), ABLATIONS[f"{name}_imagenet100"]
    optim = dataclasses.replace(paper.optim, lr=2 * paper.optim.lr)
    data = dataclasses.replace(paper.data, classes="imagenet100")
    train = dataclasses.replace(paper.train, epochs=240)
    assert recipe == dataclasses.replace(paper, optim=optim, data=data, train=train)


@pytest.mark.parametrize(("baseline", "name"), [("moco_v2", "lewel_m"), ("byol", "lewel_b")])
def test_lewels_baselines_differ_from_it_in_the_loss_alone(baseline, name):
    ours, theirs = (ABLATIONS[f"{method}_imagenet100"] for method in (baseline, name))
    assert dataclasses.replace(ours, method=theirs.method) == theirs
    shared = {field.name for field in dataclasses.fields(ours.method)} & set(dataclasses.asdict(theirs.method))
    differing = [key for key in shared if getattr(ours.method, key) != getattr(theirs.method, key)]
    assert set(differing) <= {"name", "head_norm"}
