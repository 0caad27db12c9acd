"""The views of each method: the numbers of its paper."""

import dataclasses

import pytest

from sslfast.config import ViewConfig
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe, recipes
from sslfast.recipes.presets import PRESETS

PRESET_OF = {  # where its name is not the method's
    "align_uniform": "moco_v2",
    "context_prediction": "context",
    "cpc_v1": "cpc",
    "dcl": "simclr",
    "densecl": "moco_v2",
    "dino": "dino_resnet",
    "fast_moco": "moco_v2",
    "lewel_m": "moco_v2",
    "local_aggregation": "instdisc",
    "moco_v3": "lewel_b",
    "nnclr": "simclr",
    "pixpro": "byol",
    "resim": "moco_v2",
    "supcon": "simclr",
}


def views(preset):
    return load_recipe("moco_v2", [f"data.views={preset}"]).data.views


def strengths(view):
    return view.jitter, (view.brightness, view.contrast, view.saturation, view.hue)


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_valid(name):
    assert len(views(name)) >= 1


@pytest.mark.parametrize("method", METHODS)
def test_the_recipe_for_imagenet_has_the_views_of_its_paper(method):
    assert load_recipe(f"{method}_imagenet").data.views == views(PRESET_OF.get(method, method))


@pytest.mark.parametrize(
    ("name", "scale", "jitter", "gray", "blur"),
    [
        ("moco_v1", (0.2, 1), (1.0, (0.4, 0.4, 0.4, 0.4)), 0.2, 0),
        ("moco_v2", (0.2, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0.5),
        ("simclr", (0.08, 1), (0.8, (0.8, 0.8, 0.8, 0.2)), 0.2, 0.5),
        ("simsiam", (0.2, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0.5),
        ("simclr_cifar", (0.08, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0),
        ("simclr_128", (0.08, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0.5),
        ("simsiam_cifar", (0.2, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0),
        ("moco_v2_cifar", (0.08, 1), (0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, 0),
    ],
)
def test_two_views_alike(name, scale, jitter, gray, blur):
    first, second = views(name)
    assert first == second
    assert (first.scale, strengths(first), first.grayscale, first.blur) == (scale, jitter, gray, blur)
    assert (first.flip, first.blur_sigma, first.solarize, first.size) == (0.5, (0.1, 2.0), 0, None)


def test_recipes_after_lightlys_imagenette_benchmark_have_its_views():
    """Of its collate function, whose color distortion has a strength of 0.5."""
    after = [path for name, path in recipes().items() if "Imagenette benchmark in lightly" in path.read_text()]
    assert len(after) == 7
    for path in after:
        assert load_recipe(str(path)).data.views == views("simclr_128")


@pytest.mark.parametrize(
    "removed",
    [("grayscale",), ("grayscale", "jitter"), ("grayscale", "jitter", "blur", "solarize")],
    ids=["grayscale", "color", "all but crop and flip"],
)
def test_byols_transformations_are_removed_one_by_one(removed):
    """As its ablation does, figure 3b; that a probability of 0 leaves the pixels is tested with the kernel."""
    overrides = [f"data.views.{number}.{name}=0" for number in (0, 1) for name in removed]
    shown = load_recipe("byol_imagenet", overrides).data.views
    assert shown == [dataclasses.replace(view, **dict.fromkeys(removed, 0.0)) for view in views("byol")]
    assert shown != views("byol")


@pytest.mark.parametrize(
    ("name", "least"), [("byol", 0.08), ("barlow_twins", 0.08), ("vicreg", 0.08), ("lewel_b", 0.2)]
)
def test_byols_pair_is_asymmetric(name, least):
    pair = views(name)
    assert [(view.blur, view.solarize) for view in pair] == [(1, 0), (0.1, 0.2)]
    for view in pair:
        assert strengths(view) == (0.8, (0.4, 0.4, 0.2, 0.1))
        assert (view.scale, view.flip, view.grayscale) == ((least, 1), 0.5, 0.2)


@pytest.mark.parametrize(("name", "blur"), [("msf", 0.5), ("msf_cifar", 0)])
def test_msf_predicts_a_weak_view_from_a_strong_one(name, blur):
    strong, weak = views(name)
    assert (strengths(strong), strong.grayscale, strong.blur) == ((0.8, (0.4, 0.4, 0.4, 0.1)), 0.2, blur)
    assert (weak.jitter, weak.grayscale, weak.blur) == (0, 0, 0)
    assert strong.scale == weak.scale == (0.2, 1)


def test_pirls_image_and_the_view_of_its_patches():
    image, patches = views("pirl")
    assert [(view.size, view.scale) for view in (image, patches)] == [(None, (0.08, 1)), (255, (0.6, 1))]
    for view in (image, patches):
        assert strengths(view) == (1.0, (0.4, 0.4, 0.4, 0.2))
        assert (view.flip, view.grayscale, view.blur) == (0.5, 0.2, 0)


def test_swavs_multi_crop():
    found = [(view.size, view.scale) for view in views("swav")]
    assert found == [(None, (0.14, 1))] * 2 + [(96, (0.05, 0.14))] * 6
    assert {strengths(view) for view in views("swav")} == {(0.8, (0.8, 0.8, 0.8, 0.2))}


@pytest.mark.parametrize(
    ("name", "least", "most", "local"),
    [("dino", 0.4, 0.4, (8, 96)), ("dino_resnet", 0.14, 0.14, (8, 96)), ("dino_128", 0.4, 0.4, (6, 64))],
)
def test_dinos_multi_crop(name, least, most, local):
    first, second, *small = views(name)
    assert [(view.blur, view.solarize, view.scale) for view in (first, second)] == [
        (1, 0, (least, 1)),
        (0.1, 0.2, (least, 1)),
    ]
    assert (len(small), small[0].size) == local
    assert {(view.blur, view.solarize, view.scale) for view in small} == {(0.5, 0, (0.05, most))}
    assert {strengths(view) for view in views(name)} == {(0.8, (0.4, 0.4, 0.2, 0.1))}


@pytest.mark.parametrize("name", ["jigsaw", "rotation", "context", "context_encoder", "cpc", "cmc", "exemplar"])
def test_tasks_within_a_view_leave_its_colors(name):
    (view,) = views(name)
    assert (view.jitter, view.blur, view.solarize) == (0, 0, 0)


def test_the_defaults_that_presets_start_from():
    view = ViewConfig()
    assert (view.scale, view.ratio, view.flip, view.grayscale) == ((0.2, 1), (3 / 4, 4 / 3), 0.5, 0.2)
    assert strengths(view) == (0.8, (0.4, 0.4, 0.4, 0.1))
    assert (view.blur, view.blur_sigma, view.solarize, view.size) == (0, (0.1, 2), 0, None)
