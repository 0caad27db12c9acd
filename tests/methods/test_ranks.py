"""Every method: the steps of two processes are those of one process that has all of their images."""

from itertools import islice
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from sslfast.methods import METHODS
from sslfast.run import RunDirectory
from sslfast.train import Trainer, open_source
from tests.methods.subjects import SUBJECTS
from tests.methods.test_contract import config

RANKS, STEPS = 2, 3  # so that a queue of two batches is used when it is full
EXTRA = {
    "exemplar, triplets": ("exemplar", "method.form=triplet", "method.members=2"),
    "lewel_b, random maps": ("lewel_b", "method.maps=random"),
    "moco_v1, end-to-end": ("moco_v1", "method.negatives=batch"),
    "moco_v1, bank": ("moco_v1", "method.negatives=bank"),
    "moco_v2, symmetric": ("moco_v2", "method.symmetric=true"),
}
CASES = {**{name: (name,) for name in METHODS}, **EXTRA}
GROUPS = 4  # of the cases, each in processes of their own


def steps(case):
    """The losses, the gradients of the last step, and how far everything moved.

    Without batch normalisation in the encoder, and with that of the heads by its running statistics: those of a
    batch are of one process.
    """
    name, *overrides = CASES[case]
    recipe = config(name, "encoder.norm=layer", *overrides)
    trainer = Trainer(recipe, RunDirectory(Path("unused")), open_source("shapes", limit=recipe.data.limit))
    trainer.method.eval()
    trainer.method.start_epoch(0, trainer.embed)
    before = {key: value.clone() for key, value in trainer.method.state_dict().items()}
    batches = islice(trainer.loader.epoch(SUBJECTS[name].epoch), STEPS)
    losses = torch.stack([trainer.train_step(batch)["loss"] for batch in batches])
    gradients = {n: p.grad for n, p in trainer.method.named_parameters() if p.grad is not None}
    moved = {f"{key} moved": value - before[key] for key, value in trainer.method.state_dict().items()}
    return {"losses": losses, **gradients, **moved}


def work(rank, folder, cases):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    expected = torch.load(f"{folder}/expected.pt")
    wrong = []
    for case in cases:
        found = steps(case)
        assert found.keys() == expected[case].keys(), case
        for key, wanted in expected[case].items():
            error = (found[key] - wanted).abs().max() / wanted.abs().max().clamp(min=1e-6)
            rank0s = found[key].clone()
            dist.broadcast(rank0s, 0)
            if error > 2e-3 or not torch.equal(rank0s, found[key]):
                wrong.append(f"{case}: {key}, error {error:.2g}, on rank 0 {(rank0s - wanted).abs().max():.2g}")
    assert not wrong, "\n".join(wrong)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("group", range(GROUPS))
def test_two_ranks_learn_what_one_process_learns(tmp_path, group):
    cases = sorted(CASES)[group::GROUPS]
    torch.save({case: steps(case) for case in cases}, tmp_path / "expected.pt")
    torch.multiprocessing.spawn(work, (str(tmp_path), cases), nprocs=RANKS)
