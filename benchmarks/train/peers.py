"""Methods as other packages' users write them, for `make bench-train`: the packages, and what their forms share.

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

MODULES = {"lightly": "lightly", "solo-learn": "solo"}  # by package; benchmarks/train/<module>.py has its forms


class Peer(nn.Module, ABC):
    """A method as a package's users write it: the loss of a batch's views, and what moves after a step.

    Args:
        method: ours, freshly built; the encoder and the heads are its own, not copies.
    """

    def __init__(self, method: Any) -> None:
        super().__init__()
        self.config = method.config

    @abstractmethod
    def loss(self, views: tuple[Tensor, ...]) -> Tensor:
        """Computes the loss of a batch's views, each (B, 3, H, W); a scalar."""

    def after_step(self) -> None:
        """Moves what the optimizer does not, as a moving average; here nothing."""

    @staticmethod
    @abstractmethod
    def lars(parameters: Sequence[nn.Parameter], lr: float, config: OptimConfig) -> Optimizer:
        """Makes the package's LARS, as torch has none."""


def momentum_copy(network: nn.Module) -> nn.Module:
    """Makes a copy that is not trained."""
    return copy.deepcopy(network).requires_grad_(False)


def forms(package: str) -> dict[str, type[Peer]]:
    """Finds a package's forms by the method's name, none where it is not installed.

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
    """Finds the version of each package, or that it is missing.

    Raises:
        UsageError: one is installed, but cannot be imported.
    """
    return {package: version(package) or "of no version" if forms(package) else "missing" for package in MODULES}


def installed(name: str, method: Method) -> dict[str, Peer]:
    """Builds the packages' forms of a method, where they are installed; each with networks of its own.

    Args:
        name: the method's.
        method: ours, freshly built.
    """
    peers = {package: forms(package).get(name) for package in MODULES}
    return {package: peer(copy.deepcopy(method)) for package, peer in peers.items() if peer is not None}


def build_optimizer(peer: Peer, config: OptimConfig, batch_size: int) -> Optimizer:
    """Builds torch's optimizer, or the package's LARS: all parameters in one group, as packages' examples do."""
    parameters = [parameter for parameter in peer.parameters() if parameter.requires_grad]
    lr, weight_decay = scaled_lr(config, batch_size), config.weight_decay
    match config.name:
        case "sgd":
            return SGD(parameters, lr, momentum=config.momentum, weight_decay=weight_decay)
        case "adamw":
            return AdamW(parameters, lr, betas=config.betas, weight_decay=weight_decay)
        case "lars":
            return peer.lars(parameters, lr, config)
