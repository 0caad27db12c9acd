"""Every method: the steps of several processes are those of one process that has all of their images."""

from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
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
}
CASES = {**{name: (name,) for name in METHODS}, **EXTRA}
GROUPS = 8  # of the cases, each in processes of their own


def steps(case, start=None):
    """What a method starts from, and the losses, the last gradients and the buffers after some steps.

    Batch normalisation uses its running statistics: those of a batch are of one process.
    """
    name, *overrides = CASES[case]
    recipe = small_recipe(name, *SLOW, *overrides)
    trainer = Trainer(recipe, RunDirectory(Path("unused")), open_source("shapes", limit=recipe.data.limit))
    method, epoch = trainer.method, SUBJECTS[name].epoch
    if start is None:
        start = calibrated(method, next(trainer.loader.epoch(epoch)))
    method.load_state_dict(start)
    torch.manual_seed(0)
    method.start_epoch(0, trainer.embed)
    method.eval()
    losses = [trainer.train_step(batch)["loss"] for batch in islice(trainer.loader.epoch(epoch), STEPS)]
    gradients = {f"grad {name}": p.grad for name, p in method.named_parameters() if p.grad is not None}
    return start, {"losses": torch.stack(losses), **gradients, **dict(method.named_buffers())}


def calibrated(method, batch):
    """The method's state with the running statistics of a batch.

    With the initial ones embeddings are nearly the same for all images, and gradients cancel down to rounding.
    """
    for module in method.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = 1.0
    method.loss(batch)
    return {key: value.clone() for key, value in method.state_dict().items()}


def error(key, found, wanted):
    """The largest difference relative to the largest value; of gradients the length of the difference to theirs.

    Rounding now and then turns a unit of a ReLU off, which shows in its own weights by some percent.
    """
    if key.startswith("grad "):
        return (found - wanted).norm() / wanted.norm().clamp(min=1e-6)
    return (found - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)


def work(rank, ranks, folder, cases):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=ranks)
    expected = torch.load(f"{folder}/expected.pt")
    wrong = []
    for case in cases:
        start, values = expected[case]
        _, found = steps(case, start)
        assert found.keys() == values.keys(), case
        for key, wanted in values.items():
            difference = error(key, found[key], wanted)
            rank0s = found[key].clone()
            dist.broadcast(rank0s, 0)
            if difference > (1e-4 if key == "losses" else 0.02):
                wrong.append(f"{case}: {key}: error {difference:.2g}")
            if not torch.equal(rank0s, found[key]):
                wrong.append(f"{case}: {key}: not the same on all ranks")
    assert not wrong, "\n".join(wrong)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize(("ranks", "group"), [*((2, group) for group in range(GROUPS)), (4, 0)])
def test_ranks_learn_what_one_process_learns(tmp_path, ranks, group):
    cases = sorted(CASES)[group::GROUPS]
    torch.save({case: steps(case) for case in cases}, tmp_path / "expected.pt")
    torch.multiprocessing.spawn(work, (ranks, str(tmp_path), cases), nprocs=ranks)
