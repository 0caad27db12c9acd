"""The loss and the spread of embeddings by which a run that has learned nothing is known."""

import math
from functools import partial

import pytest
import torch

from sslfast.data import open_source
from sslfast.encoders import Encoder
from sslfast.methods import METHODS
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer
from tests.methods.harness import KEEP, after_step
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS

# 64 images, batches of 16, queues of 32 and what else tests/methods/subjects.py sets.
CHANCE = {
    "barlow_twins": 16,
    "cmc": 2 * (math.log(33) + 32 * math.log(33 / 32)),
    "context_prediction": math.log(8),
    "cpc_v1": math.log(16 * 49),
    "cpc_v2": math.log(16 * 49),
    "dcl": math.log(30),
    "deepcluster": math.log(8),
    "deepcluster_v2": (math.log(8) + math.log(12)) / 2,
    "densecl": math.log(33),
    "exemplar": math.log(64),
    "fast_moco": math.log(16),
    "instdisc": math.log(33) + 32 * math.log(33 / 32),
    "jigsaw": math.log(20),
    "jigsaw_clustering": 0.3 / 0.07 * math.log(63) + math.log(4),
    "lewel_m": (math.log(33) + math.log(1 + 15 * 4)) / 2,
    "mae": 191 / 192,
    "mncl": (2 + 12) * math.log(16),
    "moco_v1": math.log(33),
    "moco_v2": math.log(33),
    "moco_v3": 4 * 0.2 * math.log(16),
    "nnclr": math.log(16),
    "pcl": math.log(33) + (math.log(4) + math.log(8)) / 2,
    "pirl": math.log(33),
    "resim": math.log(33) + math.log(1 + 16 * 36),
    "rotation": math.log(4),
    "simclr": math.log(31),
    "supcon": 0.1 / 0.07 * math.log(31),
    "supervised": math.log(10),
    "swav": math.log(12),
    "vicreg": 25 * 2 * 0.99,
}
OTHER_FORMS = {
    ("moco_v2", "method.negatives=batch"): math.log(16),
    ("moco_v2", "method.negatives=bank"): math.log(33),
    ("dcl", "method.sigma=0.5"): math.log(30),
    ("exemplar", "method.sampled=8"): math.log(24),
    ("exemplar", "method.sampled=60"): math.log(64),
    ("exemplar", "method.form=triplet method.members=2 method.margin=0.3"): 0.3,
    ("instdisc", "method.objective=softmax"): math.log(64),
    ("instdisc", "method.proximal=30"): None,
    ("pcl", "method.warmup_epochs=2"): math.log(33),
    ("jigsaw_clustering", "method.clustering_weight=0 method.location_weight=2"): 2 * math.log(4),
    ("local_aggregation", "method.warmup_epochs=2"): math.log(33) + 32 * math.log(33 / 32),
    ("lewel_m", "method.maps=gap"): (math.log(33) + math.log(16)) / 2,
    ("mae", "method.normalize_pixels=false"): None,
    ("mncl", "method.reduction=mean"): (1 + 6) * math.log(16),
    ("resim", "method.step=2 method.region_weight=0.5"): math.log(33) + math.log(1 + 16 * 9) / 2,
    ("rotation", "method.angles=2"): math.log(2),
    ("cmc", "encoder.color_parts=3 method.objective=softmax"): 6 * math.log(33),
    ("cmc", "encoder.color_parts=3 method.graph=core method.objective=softmax"): 4 * math.log(33),
}
WITHOUT = ("context_encoder",)  # the least error of networks that tell nothing apart follows from the images
# Heads that begin with random predictions, rows of a bank that were random, or codes that are not uniform.
INEXACT = (
    "cmc",
    "context_prediction",
    "deepcluster",
    "exemplar",
    "instdisc",
    "jigsaw",
    "jigsaw_clustering",
    "mae",
    "pirl",
    "rotation",
    "supervised",
    "swav",
)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_every_method_has_a_measure_of_failure(name):
    recipe = small_recipe(name)
    assert METHODS[name].chance_loss(recipe, 64) == pytest.approx(CHANCE.get(name))
    known = name in CHANCE or name in WITHOUT
    assert METHODS[name].even_std(recipe) == (None if known else 0.25)  # of 16 components


@pytest.mark.parametrize(("name", "settings"), OTHER_FORMS)
def test_other_forms_of_a_method(name, settings):
    recipe = small_recipe(name, *settings.split())
    assert METHODS[name].chance_loss(recipe, 64) == pytest.approx(OTHER_FORMS[name, settings])


@pytest.fixture(scope="module")
def source():
    """Opens the images, which take longer to make than a test."""
    return open_source("shapes", limit=72)


def constant(dim, images, dense=False, *, tokens=False, keep=None, mask=None, c4=False):
    """Makes the features of an encoder that does not look."""
    if c4:
        return torch.full((len(images), dim, 4, 4), 0.5), torch.full((len(images), dim // 2, 8, 8), 0.5)
    if tokens:
        return torch.full((len(images), 1 + (16 if keep is None else keep.shape[1]), dim), 0.5)
    return torch.full((len(images), dim, 4, 4) if dense else (len(images), dim), 0.5)


@pytest.mark.parametrize("name", sorted(METHODS.keys() - set(WITHOUT)))
def test_an_encoder_that_tells_nothing_apart_is_at_the_measure(name, source, tmp_path):
    recipe = small_recipe(name)
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), source)
    method, losses = trainer.method, []
    for encoder in (module for module in method.modules() if isinstance(module, Encoder)):
        encoder.forward = partial(constant, encoder.feature_dim)
    method.start_epoch(0, trainer.embed)
    for batch in trainer.loader.epoch(SUBJECTS[name].epoch):
        with torch.no_grad():
            loss, values, kept = method.loss(batch)
            after_step(method, kept, 0, 8, KEEP)
        losses.append(loss.item())
    if name not in CHANCE:
        assert values["std"] < 1e-3
    elif name in INEXACT:
        assert sum(losses) / len(losses) > 0.99 * CHANCE[name]
    else:
        assert losses[-1] == pytest.approx(CHANCE[name], rel=1e-3)
