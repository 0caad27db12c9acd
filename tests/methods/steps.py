"""Some steps of every method, to be compared with the same steps that were taken in another way."""

from itertools import islice
from pathlib import Path

import torch
from torch import nn

from sslfast.data import open_source
from sslfast.methods import METHODS
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS

STEPS = 3  # so that a queue of two batches is used when it is full
SLOW = ("optim.name=sgd", "optim.lr=1e-4")  # else rounding grows from step to step, to a tenth of some gradients
EXTRA = {
    "dcl, weighted": ("dcl", "method.sigma=0.5"),
    "exemplar, triplets": ("exemplar", "method.form=triplet", "method.members=2"),
    "lewel_b, random maps": ("lewel_b", "method.maps=random"),
    "moco_v1, end-to-end": ("moco_v1", "method.negatives=batch"),
    "moco_v1, bank": ("moco_v1", "method.negatives=bank"),
    "moco_v2, symmetric": ("moco_v2", "method.symmetric=true"),
    "supcon, joint": ("supcon", "method.cross_entropy=1"),
}
CASES = {**{name: (name,) for name in METHODS}, **EXTRA}


def steps(case, start=None, *more):
    """Returns what a method starts from, and the losses, the last gradients and the buffers after some steps.

    Batch normalization uses its running statistics: those of a batch are of one process. `more` are settings.
    """
    name, *overrides = CASES[case]
    trainer = trainer_of(name, *SLOW, *overrides, *more)
    method, epoch = trainer.method, SUBJECTS[name].epoch
    if start is None:
        start = calibrated(method, next(trainer.loader.epoch(epoch)))
    method.load_state_dict(start)
    torch.manual_seed(0)
    method.start_epoch(0, trainer.embed)
    method.eval()
    losses = [trainer.train_step(batch)["loss"] for batch in islice(trainer.loader.epoch(epoch), STEPS)]
    gradients = {f"grad {name}": p.grad for name, p in method.named_parameters() if p.grad is not None}
    buffers = {name: buffer for name, buffer in method.named_buffers() if name in method.state_dict()}
    return start, {"losses": torch.stack(losses), **gradients, **buffers}


def trainer_of(name, *overrides):
    """Makes a trainer of a method, whose run writes nothing."""
    recipe = small_recipe(name, *overrides)
    return Trainer(recipe, RunDirectory(Path("unused")), open_source("shapes", limit=recipe.data.limit))


def calibrated(method, batch):
    """Returns the method's state with the running statistics of a batch.

    With the initial ones embeddings are nearly the same for all images, and gradients cancel down to rounding.
    """
    for module in method.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    method.loss(batch)
    return {key: value.clone() for key, value in method.state_dict().items()}


def error(key, found, wanted):
    """Measures the largest difference by the largest value; of gradients the length of the difference by theirs.

    Rounding now and then turns a unit of a ReLU off, which shows in its own weights by some percent.
    """
    if key.startswith("grad "):
        return (found - wanted).norm() / wanted.norm().clamp(min=1e-6)
    return (found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)
