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
PUZZLE = ("method.trunk=16", "method.hidden=[16]")

SUBJECTS: dict[str, Subject] = {
    "context_prediction": Subject("context_prediction_cifar10", PUZZLE, moves=False),
    "jigsaw": Subject("jigsaw_cifar10", (*PUZZLE, "method.classes=20"), moves=False),
    "moco_v1": Subject("moco_v1_imagenette", MOCO),
    "moco_v2": Subject("moco_v2_cifar10", MOCO),
    "rotation": Subject("rotation_cifar10", moves=False),
}
