"""Numbers of the contrastive methods' papers: settings that a recipe need not state, and training on ImageNet."""

import pytest

from sslfast.methods import METHODS
from sslfast.optim.schedules import scaled_lr
from sslfast.recipes.load import load_recipe

SETTINGS = {
    "cmc": {"dim": 128, "objective": "nce", "noise": 16384, "temperature": 0.07, "momentum": 0.5},
    "densecl": {"dim": 128, "hidden": 2048, "temperature": 0.2, "momentum": 0.999, "lam": 0.5},
    "fast_moco": {"combine": 2, "temperature": 1.0, "momentum": 0.99, "momentum_schedule": "constant"},
    "instdisc": {"dim": 128, "objective": "nce", "noise": 4096, "temperature": 0.07, "momentum": 0.5},
    "local_aggregation": {
        "dim": 128,
        "background": 4096,
        "clusters": 30000,
        "clusterings": 10,
        "noise": 4096,
        "temperature": 0.07,
        "momentum": 0.5,
        "warmup_epochs": 10,
    },
    "lewel_m": {
        "dim": 128,
        "aligned_dim": 128,
        "hidden": 2048,
        "head_norm": True,
        "maps": "coupled",
        "beta": 0.5,
        "temperature": 0.2,
        "momentum": 0.999,
        "momentum_schedule": "constant",
        "symmetric": False,
    },
    "mncl": {
        "lam": 6.0,
        "weighed": "global",
        "combine": 2,
        "one_embedding": False,
        "queue_size": 16384,
        "temperature": 1.0,
        "momentum": 0.99,
        "momentum_schedule": "constant",
    },
    "moco_v1": {"dim": 128, "hidden": 0, "temperature": 0.07, "momentum": 0.999, "negatives": "queue"},
    "moco_v2": {"dim": 128, "hidden": 2048, "head_norm": False, "temperature": 0.2, "momentum": 0.999},
    "moco_v3": {"dim": 256, "hidden": 4096, "temperature": 1.0, "momentum": 0.99, "momentum_schedule": "cosine"},
    "nnclr": {"dim": 256, "hidden": 2048, "layers": 3, "predictor_hidden": 4096, "temperature": 0.1},
    "pcl": {"clusters": (25000, 50000, 100000), "warmup_epochs": 20, "smoothing": 10.0, "queue_size": 16384},
    "pirl": {"dim": 128, "weight": 0.5, "noise": 32000, "temperature": 0.07, "momentum": 0.5},
    "resim": {
        "dim": 128,
        "hidden": 2048,
        "temperature": 0.2,
        "momentum": 0.999,
        "window": 3,
        "step": 1,
        "region_weight": 1.0,
        "symmetric": False,
    },
    "simclr": {"dim": 128, "hidden": 2048, "layers": 2, "norm": True, "temperature": 0.1},
    "supcon": {"dim": 128, "norm": False, "temperature": 0.1, "base_temperature": 0.07},
}
# Optimizer, batch, the rate at that batch and its last share, weight decay, whether of all parameters, epochs.
TRAINING = {
    "cmc": ("sgd", 256, 0.03, 0, 1e-4, True, 240),
    "densecl": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "fast_moco": ("sgd", 512, 0.1, 0, 1e-4, True, 100),
    "instdisc": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "jigsaw_clustering": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "local_aggregation": ("sgd", 128, 0.03, 0, 1e-4, False, 200),
    "lewel_m": ("sgd", 256, 0.06, 0, 1e-4, True, 200),
    "moco_v1": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "moco_v2": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "moco_v3": ("lars", 4096, 9.6, 0, 1e-6, False, 100),
    "nnclr": ("lars", 4096, 4.8, 0, 1e-6, False, 1000),
    "pcl": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "pirl": ("sgd", 1024, 0.12, 1e-3, 1e-4, False, 800),
    "resim": ("sgd", 256, 0.03, 0, 1e-4, True, 200),
    "simclr": ("lars", 4096, 4.8, 0, 1e-6, False, 100),
    "supervised": ("sgd", 256, 0.1, 0, 1e-4, False, 90),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_those_of_the_paper_unless_a_recipe_says_otherwise(name):
    config = METHODS[name].Config(name=name)
    assert {key: getattr(config, key) for key in SETTINGS[name]} == SETTINGS[name]


@pytest.mark.parametrize("name", TRAINING)
def test_the_recipe_for_imagenet_trains_as_the_paper(name):
    config = load_recipe(f"{name}_imagenet")
    optim, batch = config.optim, config.data.batch_size
    everything = not optim.exclude_bias_and_norm
    rate = pytest.approx(scaled_lr(optim, batch))
    found = (optim.name, batch, rate, optim.final_lr, optim.weight_decay, everything, config.train.epochs)
    assert found == TRAINING[name]


def test_mncl_trains_as_its_paper():
    config = load_recipe("mncl_cifar10")
    assert scaled_lr(config.optim, config.data.batch_size) == pytest.approx(0.1)
    assert (config.optim.name, config.optim.momentum, config.optim.weight_decay) == ("sgd", 0.9, 1e-4)
    assert (config.optim.schedule, config.optim.final_lr, config.optim.warmup_epochs) == ("cosine", 0, 0)
    assert (config.data.batch_size, config.train.epochs) == (256, 200)
