"""Methods as other packages' users write them, for `bench_train`: what the forms of all packages share.

Each has the encoder and the heads of our method, and does the rest with the package's parts and torch's
optimizers, as the package's documentation does. Nothing of a package is imported before it is asked for.
"""

from __future__ import annotations

import copy
import importlib
import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.optim import SGD, AdamW, Optimizer

from sslfast.benchmarks.measure.machine import version
from sslfast.config import OptimConfig
from sslfast.errors import UsageError
from sslfast.methods import Method
from sslfast.optim.schedules import scaled_lr

MODULES = {"lightly": "lightly", "solo-learn": "solo"}  # of the packages; train_<module>.py has their forms


class Peer(nn.Module, ABC):
    """A method: the loss of an image's views, and what moves after a step.

    Args:
        method: ours, freshly built; the encoder and the heads are its own, not copies.
    """

    def __init__(self, method: Any) -> None:
        super().__init__()
        self.config = method.config

    @abstractmethod
    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """A scalar."""

    def after_step(self) -> None:
        """Moves nothing, where nothing is to be moved."""

    @staticmethod
    @abstractmethod
    def lars(parameters: Sequence[nn.Parameter], lr: float, config: OptimConfig) -> Optimizer:
        """The package's LARS, which torch has none of."""


def momentum_copy(network: nn.Module) -> nn.Module:
    """A copy that is not trained."""
    return copy.deepcopy(network).requires_grad_(False)


def forms(package: str) -> dict[str, type[Peer]]:
    """A package's forms by the method's name, none where it is not installed.

    Raises:
        UsageError: it is installed, but cannot be imported.
    """
    if importlib.util.find_spec(MODULES[package]) is None:
        return {}
    try:
        module = importlib.import_module(f"sslfast.benchmarks.train.{MODULES[package]}")
    except ImportError as error:
        raise UsageError(
            f"{package} {version(package)} is installed, but cannot be imported: {error}; "
            f"benchmarks/train/{MODULES[package]}.py says what it needs"
        ) from error
    return dict(module.FORMS)


def versions() -> dict[str, str]:
    """Of each package, or that it is missing.

    Raises:
        UsageError: one is installed, but cannot be imported.
    """
    return {package: version(package) or "of no version" if forms(package) else "missing" for package in MODULES}


def installed(name: str, method: Method) -> dict[str, Peer]:
    """The packages' forms of a method, where they are installed; each with networks of its own.

    Args:
        name: the method's.
        method: ours, freshly built.
    """
    found = {package: forms(package) for package in MODULES}
    return {package: known[name](copy.deepcopy(method)) for package, known in found.items() if name in known}


def build_optimizer(peer: Peer, config: OptimConfig, batch_size: int) -> Optimizer:
    """torch's, or the package's LARS; all parameters in one group, as the packages' examples have them."""
    parameters = [parameter for parameter in peer.parameters() if parameter.requires_grad]
    lr, weight_decay = scaled_lr(config, batch_size), config.weight_decay
    match config.name:
        case "sgd":
            return SGD(parameters, lr, momentum=config.momentum, weight_decay=weight_decay)
        case "adamw":
            return AdamW(parameters, lr, betas=config.betas, weight_decay=weight_decay)
        case "lars":
            return peer.lars(parameters, lr, config)
