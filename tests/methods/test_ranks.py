"""Every method: the steps of several processes are those of one process that has all of their images."""

import pytest
import torch
import torch.distributed as dist

from tests.methods.steps import CASES, error, steps

CASE_NAMES = sorted(CASES)
# One of each family: in the batch, with a queue, a bank, an average, clusters, a matrix, masks, a pretext, labels.
FAMILIES = ["simclr", "moco_v2", "instdisc", "byol", "swav", "barlow_twins", "mae", "rotation", "supervised"]
GROUPS = {  # processes, and the cases that they take
    **{f"2 ranks, part {first}": (2, CASE_NAMES[first::4]) for first in range(4)},
    "4 ranks, families": (4, FAMILIES),
}
LONG = {"4 ranks, the others": (4, [case for case in CASE_NAMES if case not in FAMILIES])}


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
@pytest.mark.parametrize("group", [*GROUPS, *(pytest.param(name, marks=pytest.mark.long) for name in LONG)])
def test_ranks_learn_what_one_process_learns(tmp_path, group):
    ranks, cases = {**GROUPS, **LONG}[group]
    torch.save({case: steps(case) for case in cases}, tmp_path / "expected.pt")
    torch.multiprocessing.spawn(work, (ranks, str(tmp_path), cases), nprocs=ranks)
