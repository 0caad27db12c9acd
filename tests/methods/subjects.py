"""The methods as tests/methods/test_contract.py runs them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Subject:
    """How to run a method in seconds.

    Attributes:
        recipe: to start from.
        overrides: that make it small.
        without_gradient: beginnings of the names of trained parameters that a step leaves alone at first.
        moves: something moves after a step: a moving average, a queue, a bank.
        epoch: in which its loss is whole.
    """

    recipe: str
    overrides: tuple[str, ...] = ()
    without_gradient: tuple[str, ...] = ()
    moves: bool = True
    epoch: int = 0


MOCO = ("method.dim=16", "method.hidden=16", "method.queue_size=32", "method.symmetric=false")

FAST_MOCO = ("method.dim=16", "method.hidden=16", "method.predictor_hidden=8")

SUBJECTS: dict[str, Subject] = {
    "densecl": Subject("densecl_cifar10", MOCO),
    "fast_moco": Subject("fast_moco_cifar10", FAST_MOCO),
    "lewel_b": Subject("lewel_b_cifar10", ("method.dim=16", "method.aligned_dim=8", "method.hidden=16")),
    "lewel_m": Subject("lewel_m_cifar10", (*MOCO, "method.aligned_dim=8")),
    "mncl": Subject("mncl_cifar10", (*FAST_MOCO, "method.queue_size=32")),
    "moco_v1": Subject("moco_v1_imagenette", MOCO),
    "moco_v2": Subject("moco_v2_cifar10", MOCO),
}
