"""Sinkhorn-Knopp over a group of two processes gives what one process gives for all samples."""

import math

import pytest
import torch
import torch.distributed as dist

from sslfast import kernels as K

ITERATIONS = 4


def cases():
    """Maps names to the scores of either process."""
    generator = torch.Generator().manual_seed(0)
    scores = torch.randn(20, 7, generator=generator) * 0.3
    bad, masked, apart = scores.clone(), scores.clone(), scores.clone()
    bad[3, 2], bad[17, 0] = math.nan, math.inf
    masked[:12, 4] = -math.inf  # the first process has nothing for a prototype
    masked[:, 5] = -math.inf  # nor has either for another
    apart[12:] -= 1000  # one global maximum would leave nothing of the second process's
    return {
        "as many": scores.split([10, 10]),
        "not as many": scores.split([13, 7]),
        "none": scores.split([20, 0]),
        "bad rows": bad.split([12, 8]),
        "minus infinity": masked.split([12, 8]),
        "far apart": apart.split([12, 8]),
        "fp16": scores.half().split([12, 8]),
    }


def work(rank, folder):
    """Computes the codes of one process, and leaves them in `folder`."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    group = dist.group.WORLD
    codes = {
        name: K.sinkhorn_knopp(parts[rank], iterations=ITERATIONS, group=group) for name, parts in cases().items()
    }
    message = ""
    try:  # pytest.raises would keep the frame, and with it the group, to the process's end, which aborts then
        K.sinkhorn_knopp(torch.randn(2, 3), group=group, impl="cpp")
    except RuntimeError as error:
        message = str(error)
    assert message == (
        "sinkhorn_knopp: impl='cpp' is not available: over a group of processes it runs the reference; "
        "use impl='auto'"
    )
    torch.save(codes, folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def codes(tmp_path_factory):
    """Maps names to the codes of all samples."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, args=(folder,), nprocs=2)
    first, second = (torch.load(folder / f"{rank}.pt") for rank in range(2))
    return {name: torch.cat([first[name], second[name]]) for name in first}


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("name", cases())
def test_two_processes_are_one(name, codes):
    expected = K.sinkhorn_knopp(torch.cat(cases()[name]), iterations=ITERATIONS, impl="reference")
    torch.testing.assert_close(codes[name], expected, equal_nan=True)
    assert codes[name].isnan().any() == (name == "bad rows")
