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

SUBJECTS: dict[str, Subject] = {
    "cmc": Subject("cmc_imagenette", ("method.dim=16", "method.noise=32")),
    "deepcluster": Subject("deepcluster_imagenette", ("method.clusters=8", "method.components=4"), moves=False),
    "deepcluster_v2": Subject("deepcluster_v2_cifar10", ("method.dim=16", "method.clusters=[8, 12]")),
    "instdisc": Subject("instdisc_imagenette", ("method.dim=16", "method.noise=32")),
    "moco_v1": Subject("moco_v1_imagenette", MOCO),
    "moco_v2": Subject("moco_v2_cifar10", MOCO),
    "pcl": Subject("pcl_cifar10", (*MOCO, "method.clusters=[4, 8]", "method.warmup_epochs=0")),
    "pirl": Subject("pirl_cifar10", ("method.dim=16", "method.noise=32")),
    "swav": Subject(
        "swav_cifar10", ("method.prototypes=12", "method.queue_size=32", "method.queue_epoch=0"), epoch=1
    ),
}
