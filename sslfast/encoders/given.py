"""A module of a person's own as an encoder."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from sslfast.config import EncoderConfig
from sslfast.encoders.base import Encoder
from sslfast.errors import UsageError
from sslfast.given import PREFIX, find_given, given, is_given

SPREAD = 0.02  # standard deviation of initial weights whose module does not say how it draws them, as in ViTs


class ModuleEncoder(Encoder):
    """A copy of a module that makes features (B, D) or a map (B, D, h, w) of images, whose mean they then are.

    Args:
        module: it stays as it is.
        name: what settings call it.
        side, channels: of the images that tell its number of features; the side in pixels.

    Raises:
        UsageError: it takes no such images, or makes something else of them.
    """

    def __init__(self, module: nn.Module, name: str, side: int, channels: int = 3) -> None:
        super().__init__()
        self.module, self.name = copy.deepcopy(module).cpu(), name
        self.feature_dim = self._trial(side, channels).shape[1]

    @torch.no_grad()
    def _trial(self, side: int, channels: int) -> Tensor:
        """Returns what the module makes of an image of zeros."""
        self.eval()
        try:
            made = self.module(torch.zeros(1, channels, side, side))
        except Exception as error:  # of whatever the module does
            reason = " ".join(str(error).split()) or type(error).__name__
            raise UsageError(
                f"encoder.name={self.name}: takes no images (1, {channels}, {side}, {side}): {reason}"
            ) from error
        self.train()
        if not isinstance(made, Tensor) or made.ndim not in (2, 4):
            what = tuple(made.shape) if isinstance(made, Tensor) else f"a {type(made).__name__}"
            raise UsageError(
                f"encoder.name={self.name}: expected features (B, D) or a map of them (B, D, h, w), got {what}; "
                "take off what follows them, such as a classifier"
            )
        return made

    def forward(self, x: Tensor, dense: bool = False) -> Tensor:
        y: Tensor = self.module(x)
        if dense and y.ndim != 4:
            raise UsageError(
                f"encoder.name={self.name}: makes no map of features (B, D, h, w), which is needed here"
            )
        return y if dense or y.ndim == 2 else y.mean((2, 3))

    @torch.no_grad()
    def initialize(self) -> None:
        """Draws new weights from torch's generator: each module by its `reset_parameters`.

        Of a module without one, matrices are drawn from a normal distribution of standard deviation 0.02, and
        vectors stay as they are: our choice.
        """
        for part in self.module.modules():
            if callable(reset := getattr(part, "reset_parameters", None)):
                reset()
            else:
                for weight in part.parameters(recurse=False):
                    if weight.ndim > 1:
                        nn.init.trunc_normal_(weight, std=SPREAD)


@contextmanager
def named_module(encoder: nn.Module | str | None) -> Iterator[str | None]:
    """Yields the name of a module for `encoder.name`, by which it is found until the block ends; a name as it is.

    The name tells its class and its weights' names and shapes.
    """
    if not isinstance(encoder, nn.Module):
        yield encoder
        return
    shapes = [(name, tuple(value.shape)) for name, value in encoder.state_dict().items()]
    digest = hashlib.sha256(repr(shapes).encode()).hexdigest()[:8]
    with given(f"{PREFIX}{type(encoder).__name__}-{digest}", encoder) as name:
        yield name


def build_given(config: EncoderConfig, channels: int, side: int) -> ModuleEncoder:
    """Wraps the module that an `encoder` section's name stands for, with its weights as they are.

    Raises:
        UsageError: it is not given now, the section has settings that only our encoders know, or as
            `ModuleEncoder`.
    """
    module = find_given(config.name)
    if module is None:
        raise UsageError(
            f"encoder.name={config.name}: is a module that was given from Python; give the same one again: to Run "
            "and pretrain as encoder=, to load_encoder, evaluate and embed as architecture="
        )
    if config.width != 1 or config.norm not in ("batch", "sync") or config.colors != "rgb":
        raise UsageError(
            f"encoder.name={config.name}: expected encoder.width=1, encoder.norm=batch or sync and "
            f"encoder.colors=rgb, as a module is taken as it is, got width={config.width:g}, norm={config.norm} "
            f"and colors={config.colors}"
        )
    return ModuleEncoder(module, config.name, side, channels)


def starts_at_random(config: EncoderConfig) -> bool:
    """Tells whether a run of an `encoder` section starts from random weights: a module is taken with its own."""
    return config.weights is None and not is_given(config.name)
