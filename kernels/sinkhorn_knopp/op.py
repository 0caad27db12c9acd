"""Sinkhorn-Knopp, as in SwAV: soft assignments of samples to prototypes that use all prototypes alike."""

from __future__ import annotations

from numbers import Real

import torch
import torch.distributed as dist
from torch import Tensor

from sslfast.kernels.common import checks
from sslfast.kernels.common.op import MISSING, Impl, Op
from sslfast.kernels.sinkhorn_knopp import reference

OP = Op(
    "sinkhorn_knopp",
    "(Tensor scores, float epsilon, int iterations) -> Tensor",
    impls=("cpp", "triton", "cuda"),
    explicit=("cuda",),  # until a run of its tests on a GPU is recorded
)


def sinkhorn_knopp(
    scores: Tensor,
    *,
    epsilon: float = 0.05,
    iterations: int = 3,
    group: dist.ProcessGroup | None = None,
    impl: Impl = "auto",
) -> Tensor:
    """Computes codes: each sample's soft assignment to the prototypes, balanced over the prototypes.

    The algorithm is Cuturi's (2013, algorithm 1), as SwAV uses it (Caron et al. 2020, equation 3 and listing 1):

        q = torch.exp(scores.float() / epsilon)
        for _ in range(iterations):
            q = q / (K * q.sum(dim=0))                # each prototype gets 1 / K of the mass
            q = q / (B * q.sum(dim=1, keepdim=True))  # each sample gives 1 / B
        codes = q * B

    computed such that no exponential over- or underflows, however far scores lie apart. There is no derivative:
    codes never require grad. Under autocast the scores are taken as they are.

    The sums over prototypes couple all samples. A row that holds NaN or infinity, or nothing but minus
    infinity, counts as absent: its codes are NaN, and the other rows' are what they are without it. Minus
    infinity elsewhere gives 0, also to all samples: then the other prototypes share the mass.

    Args:
        scores: (B, K), of B samples against K > 0 prototypes; fp32, fp16, bf16, or fp64 (reference only).
        epsilon: eps, the weight of the entropy: the smaller, the harder the codes. From 1e-30 to 1e30 (our
            bounds): down to there, fp32 holds what scores of up to 1e8 in magnitude come to.
        iterations: at least 1.
        group: processes that hold a part of the samples each, in any numbers; every one calls this with its
            rows and gets their codes. Costs iterations + 1 all-reduces of K numbers, and runs the reference.
        impl: "auto", "reference", "cpp" (CPU), "triton" or "cuda" (CUDA).

    Returns:
        (B, K), fp32 (fp64 for fp64 scores). Each row sums to 1.

    Raises:
        TypeError: an argument that should be a tensor and is not.
        ValueError: scores, epsilon or iterations out of range.
        RuntimeError: an explicit `impl` that is not available; one beside the reference with a group.
    """
    checks.check_tensors("sinkhorn_knopp", scores=scores)
    _check_scores(scores)
    check_epsilon("sinkhorn_knopp", epsilon)
    checks.check_whole_number("sinkhorn_knopp", "iterations", iterations, least=1)
    scores = scores.detach()
    chosen = OP.choose(impl, scores.device, scores.dtype)
    if group is not None and impl not in ("auto", "reference"):
        raise RuntimeError(
            f"sinkhorn_knopp: impl={impl!r} is not available: over a group of processes it runs the reference; "
            "use impl='auto'"
        )
    if group is not None or chosen == "reference":
        return reference.sinkhorn_knopp(scores, epsilon, iterations, group)
    return OP.call(chosen, scores, epsilon, iterations)


def _check_scores(scores: Tensor) -> None:
    if scores.ndim != 2 or scores.shape[1] == 0:
        raise ValueError(f"sinkhorn_knopp: expected scores of shape (B, K) with K > 0, got {tuple(scores.shape)}")
    checks.check_alike("sinkhorn_knopp", "scores", scores=scores)


def check_epsilon(op: str, epsilon: float, name: str = "an epsilon") -> None:
    """Raises ValueError unless the entropy's weight is from 1e-30 to 1e30. `name`: the caller's word for it."""
    if not isinstance(epsilon, Real) or not 1e-30 <= epsilon <= 1e30:
        raise ValueError(f"{op}: expected {name} from 1e-30 to 1e30, got {epsilon!r}")


@OP.fake
def _(scores: Tensor, epsilon: float, iterations: int) -> Tensor:
    return scores.new_empty(scores.shape, dtype=torch.float32)


if MISSING["triton"] is None:
    from sslfast.kernels.sinkhorn_knopp import triton_kernels

    OP.triton(triton_kernels.sinkhorn_knopp)
