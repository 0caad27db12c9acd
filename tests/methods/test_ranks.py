"""Every method: the steps of several processes are those of one process that has all of their images."""

import pytest
import torch
import torch.distributed as dist

from tests.methods.steps import CASES, error, steps

# Processes, and the cases that they take: every so manieth from a first one on.
GROUPS = [*((2, first, 4) for first in range(4)), (4, 0, 9)]


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
@pytest.mark.parametrize(("ranks", "first", "every"), GROUPS)
def test_ranks_learn_what_one_process_learns(tmp_path, ranks, first, every):
    cases = sorted(CASES)[first::every]
    torch.save({case: steps(case) for case in cases}, tmp_path / "expected.pt")
    torch.multiprocessing.spawn(work, (ranks, str(tmp_path), cases), nprocs=ranks)
