"""Other packages' forms of our ops, called with the arguments of ours; the `bench` extra installs them.

A form does what its package does for its user, such as to normalize inputs that are normalized already. Nothing is
imported before it is called: a package may be missing, slow to import, or import on a GPU only.
"""

from __future__ import annotations

import functools
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


@functools.cache
def _lightly(name: str, *args: Any) -> Any:
    import lightly.loss

    return getattr(lightly.loss, name)(*args)


@functools.cache
def _pml(name: str, *args: Any) -> Any:
    from pytorch_metric_learning import losses

    return getattr(losses, name)(*args)


def lightly_info_nce(query: Tensor, positive: Tensor, queue: Tensor, *, temperature: float) -> Tensor:
    """Computes lightly's NT-Xent with the queue as memory bank, which takes positives if there is a gradient."""
    loss = _lightly("NTXentLoss", temperature, tuple(queue.shape))
    loss.memory_bank.bank = loss.memory_bank.bank.to(queue)
    return loss(query, positive)


def lightly_nt_xent(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    return _lightly("NTXentLoss", temperature)(z1, z2)


def pml_nt_xent(z1: Tensor, z2: Tensor, *, temperature: float) -> Tensor:
    """Computes pytorch-metric-learning's NT-Xent, which makes tensors of (2N)^3 numbers."""
    labels = torch.arange(len(z1), device=z1.device).repeat(2)
    return _pml("NTXentLoss", temperature)(torch.cat([z1, z2]), labels)


def pml_sup_con(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    return _pml("SupConLoss", temperature)(features, labels)


def lightly_sinkhorn_knopp(scores: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    from lightly.loss.swav_loss import sinkhorn

    return sinkhorn(scores, iterations, epsilon)


def lightly_cross_correlation_loss(z1: Tensor, z2: Tensor, *, lambd: float) -> Tensor:
    return _lightly("BarlowTwinsLoss", lambd)(z1, z2)


def faiss_nearest_neighbor(query: Tensor, queue: Tensor) -> tuple[Any, Any]:
    """Searches exactly by inner products, of rows of length 1 in fp32 on the CPU."""
    import faiss

    faiss.omp_set_num_threads(torch.get_num_threads())
    query = torch.nn.functional.normalize(query, dim=1)
    similarity, indices = faiss.knn(query.numpy(), queue.numpy(), 1, metric=faiss.METRIC_INNER_PRODUCT)
    return indices[:, 0], similarity[:, 0]


def cce_in_batch_info_nce(query: Tensor, keys: Tensor, *, temperature: float, chunks: int) -> Tensor:
    """Computes cut cross-entropy with every gradient: its default leaves out the small ones."""
    from cut_cross_entropy import linear_cross_entropy

    return linear_cross_entropy(query / temperature, keys, _targets(query, chunks), filter_eps=None)


def liger_in_batch_info_nce(query: Tensor, keys: Tensor, *, temperature: float, chunks: int) -> Tensor:
    from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

    return liger_fused_linear_cross_entropy(query / temperature, keys, _targets(query, chunks))


def inf_cl_in_batch_info_nce(query: Tensor, keys: Tensor, *, temperature: float, chunks: int) -> Tensor:
    """Computes Inf-CL's loss in fp32, to which it converts its inputs."""
    from inf_cl import cal_flash_loss

    width = min(256, query.shape[1])
    return cal_flash_loss(query, keys, _targets(query, chunks), 1 / temperature, width).mean()


def memeff_in_batch_info_nce(query: Tensor, keys: Tensor, *, temperature: float, chunks: int) -> Tensor:
    """Computes memeff's loss of queries and documents, none of them masked, for one query a key."""
    import memeff

    locked = not keys.requires_grad
    loss = memeff.MemoryEfficientLiTQwen3Loss if locked else memeff.MemoryEfficientQwen3Loss
    settings = {"temperature": temperature, "margin": 2.0, "normalized_inputs": True, "stable": False}
    return loss(**settings)(query, keys)


def flash_sinkhorn_knopp(z: Tensor, prototypes: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Computes FlashSinkhorn's potentials, and the codes that follow from them in PyTorch.

    It never has the scores: half the squared distance of vectors of length 1 is 1 - z c, the cost of score z c.

    Args:
        z: (B, D), of length 1.
        prototypes: (K, D), of length 1.
    """
    from flash_sinkhorn import SamplesLoss

    settings = {"backend": "alternating", "use_epsilon_scaling": False, "half_cost": True, "potentials": True}
    solver = SamplesLoss("sinkhorn", eps=epsilon, n_iters=iterations, **settings)
    of_prototypes, of_z = solver(prototypes, z)
    exponents = of_z[:, None] + of_prototypes - 1 + z @ prototypes.T
    return torch.exp(exponents / epsilon) / len(prototypes)


def _targets(query: Tensor, chunks: int) -> Tensor:
    return torch.arange(len(query) // chunks, device=query.device).repeat(chunks)


MODULES = {  # the module that a provider needs
    "cce": "cut_cross_entropy",
    "faiss": "faiss",
    "flash-sinkhorn": "flash_sinkhorn",
    "inf-cl": "inf_cl",
    "liger": "liger_kernel",
    "lightly": "lightly",
    "memeff": "memeff",
    "pml": "pytorch_metric_learning",
}
ONE_DEVICE = {  # the device of a provider that runs on one only
    "cce": "cuda",
    "faiss": "cpu",
    "flash-sinkhorn": "cuda",
    "inf-cl": "cuda",
    "liger": "cuda",
    "memeff": "cuda",
}
FORMS: dict[str, dict[str, Callable[..., Any]]] = {  # by op and provider
    "info_nce": {"lightly": lightly_info_nce},
    "nt_xent": {"lightly": lightly_nt_xent, "pml": pml_nt_xent},
    "sup_con": {"pml": pml_sup_con},
    "in_batch_info_nce": {
        "cce": cce_in_batch_info_nce,
        "inf-cl": inf_cl_in_batch_info_nce,
        "liger": liger_in_batch_info_nce,
        "memeff": memeff_in_batch_info_nce,
    },
    "sinkhorn_knopp": {"flash-sinkhorn": flash_sinkhorn_knopp, "lightly": lightly_sinkhorn_knopp},
    "cross_correlation_loss": {"lightly": lightly_cross_correlation_loss},
    "nearest_neighbor": {"faiss": faiss_nearest_neighbor},
}


def installed(op: str, device: torch.device) -> list[str]:
    """Lists the providers of an op that are installed and run on the device."""
    return [
        provider
        for provider in FORMS.get(op, {})
        if ONE_DEVICE.get(provider, device.type) == device.type and importlib.util.find_spec(MODULES[provider])
    ]
