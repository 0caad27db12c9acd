"""Calls of the ops for test_launcher.py: what test_contract.py calls them on, and tensors of extreme sizes.

Few columns keep them small: of what is computed there is nothing to see here, but how large a grid becomes.
"""

import torch

from sslfast import kernels as K
from sslfast.kernels.common.op import OPS, TMA_DTYPES
from tests.kernels.subjects import subjects
from tests.kernels.views import some_draws, some_images

MANY = 2_200_000  # rows: in tiles of 32, more than the 65,535 programs that a grid has in all dimensions but one


def rows(count, columns=8, *, grad=True):
    """Draws rows in fp16."""
    return torch.randn(count, columns).half().requires_grad_(grad)


def constant(tensors):
    """Draws rows of which none gets a gradient."""
    return lambda: tensors().detach()


def both_passes(result):
    """Goes back through what has a gradient."""
    out = result[0] if isinstance(result, tuple) else result
    if out.requires_grad:
        out.sum().backward()


def of_contract(subject, impl, dtype):
    def call():
        tensors = subject.inputs(dtype)
        for i in subject.differentiable:
            tensors[i].requires_grad_()
        both_passes(subject.call(*tensors, impl=impl))

    return call


def extreme(function, *tensors, **options):
    return lambda: both_passes(function(*(make() for make in tensors), impl="triton", **options))


def many():
    return rows(MANY)


def few():
    return rows(2)


def one():
    return rows(1, 1)


def places(side):
    return lambda: torch.randn(1, 1, side, side).half().requires_grad_()


def many_views():
    count = 70_000
    K.view_augment(
        some_images(1, 4, 4).expand(count, -1, -1, -1).contiguous(),
        some_draws(1, 4, 4).expand(count, -1).contiguous(),
        size=2,
        mean=(0.5, 0.5, 0.5),
        std=(1.0, 1.0, 1.0),
        impl="triton",
    )


def many_keys():
    K.enqueue_(rows(MANY, grad=False), rows(MANY, grad=False), torch.zeros((), dtype=torch.int64), impl="triton")


EXTREMES = {
    "info_nce of many rows": extreme(K.info_nce, many, many, constant(few), temperature=0.1),
    "info_nce with many negatives": extreme(K.info_nce, few, few, constant(many), temperature=0.1),
    "info_nce of one number": extreme(K.info_nce, one, one, constant(one), temperature=0.1),
    "in_batch_info_nce with many keys": extreme(K.in_batch_info_nce, few, many, temperature=0.1),
    "in_batch_info_nce of one number": extreme(K.in_batch_info_nce, one, one, temperature=0.1),
    "nt_xent of many rows": extreme(K.nt_xent, many, many, temperature=0.1),
    "nt_xent of one number": extreme(K.nt_xent, one, one, temperature=0.1),
    "sup_con of many rows": extreme(K.sup_con, many, lambda: torch.arange(MANY), temperature=0.1),
    "sinkhorn_knopp of many rows": extreme(K.sinkhorn_knopp, constant(many)),
    "sinkhorn_knopp of many columns": extreme(K.sinkhorn_knopp, lambda: rows(8, MANY, grad=False)),
    "soft_cross_entropy of many rows": extreme(K.soft_cross_entropy, many, constant(many), temperature=0.1),
    "cross_correlation_loss of many rows": extreme(K.cross_correlation_loss, many, many, lambd=0.005),
    "nearest_neighbor of many rows": extreme(K.nearest_neighbor, many, few),
    "nearest_neighbor among many rows": extreme(K.nearest_neighbor, few, many, k=2),
    "aligned_pooling of many places": extreme(K.aligned_pooling, places(1024), places(1024)),
    "aligned_pooling of one number": extreme(K.aligned_pooling, places(1), places(1)),
    "view_augment of many images": many_views,
    "enqueue_ of many keys": many_keys,
}
CALLS = EXTREMES | {
    f"{subject} of {dtype} by {impl}": of_contract(subject, impl, dtype)
    for subject in subjects()
    for impl in subject.impls or OPS[subject.op].impls
    if impl.startswith("triton")
    for dtype in (TMA_DTYPES if impl == "triton_tma" else (*TMA_DTYPES, torch.float32))
}
