"""Runs of each method that take seconds."""

from sslfast.recipes.load import load_recipe
from tests.methods.subjects import SUBJECTS

RUN = [
    "data.source=shapes",
    "data.limit=72",  # 64 to train on: 4 steps an epoch
    "data.batch_size=16",
    "data.size=32",
    "data.val_fraction=0.1112",
    "encoder.name=resnet18",
    "encoder.stem=cifar",
    "encoder.width=0.125",
    "encoder.norm=batch",
    "optim.warmup_epochs=0",
    "train.epochs=2",
    "train.log_every=1",
    "train.knn_every=0",
    "train.threads=1",  # so that the sums of two runs agree to the bit
    "train.precision=fp32",  # on every CPU: ranks, accumulation and lone runs agree in it
    "train.checkpoint_every=1",
]


def small_recipe(name, *overrides):
    """Loads the recipe of a run of a method that takes seconds."""
    subject = SUBJECTS[name]
    return load_recipe(subject.recipe, [*RUN, *subject.overrides, *overrides])
