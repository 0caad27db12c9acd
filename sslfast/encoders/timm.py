"""Any model of timm (Wightman, PyTorch Image Models) as an encoder, where timm is installed."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from sslfast.config import EncoderConfig
from sslfast.encoders.base import Encoder
from sslfast.errors import UsageError
from sslfast.extras import require

TIMM = "timm/"  # the beginning of the names


class TimmEncoder(Encoder):
    """A model of timm without its classifier; the features are the classifier's inputs.

    Args:
        model: built with num_classes=0.
        name: "timm/" and the model's, for error messages.
    """

    def __init__(self, model: Any, name: str) -> None:
        super().__init__()
        self.model, self.name = model, name
        self.feature_dim: int = model.head_hidden_size
        # The one size of images that the model takes, where it is not free.
        fixed = model.pretrained_cfg.get("fixed_input_size") and not getattr(model, "dynamic_img_size", False)
        self.fixed_side: int | None = model.pretrained_cfg["input_size"][-1] if fixed else None

    def blocks(self) -> list[nn.Module]:
        return list(getattr(self.model, "blocks", ()))  # of its ViTs and their like

    def forward(self, x: Tensor, dense: bool = False) -> Tensor:
        side = x.shape[-1]
        if self.fixed_side not in (None, side):
            raise UsageError(
                f"encoder.name={self.name}: takes images of {self.fixed_side} pixels only, got {side}, "
                "of a view or of a patch of one"
            )
        y = self.model.forward_features(x)
        return self._map(y, x) if dense else self.model.forward_head(y)

    def _map(self, y: Tensor, images: Tensor) -> Tensor:
        """Makes the map (B, feature_dim, h, w) of `forward_features`' output: a map, or tokens row by row."""
        if y.ndim == 3 and hasattr(self.model, "num_prefix_tokens"):
            grid = self.model.patch_embed.dynamic_feat_size(images.shape[-2:])
            y = y[:, self.model.num_prefix_tokens :].mT.unflatten(2, grid)
        elif getattr(self.model, "output_fmt", "NCHW") == "NHWC":
            y = y.permute(0, 3, 1, 2)
        if y.ndim != 4 or y.shape[1] != self.feature_dim:
            raise UsageError(f"encoder.name={self.name}: has no map of its features, which this method needs")
        return y


def build_timm(config: EncoderConfig, channels: int) -> TimmEncoder:
    """Builds the model of timm that a recipe's `encoder` section names, without pre-trained weights.

    Raises:
        UsageError: timm is not installed, has no such model, or the section has settings that only ours know.
    """
    name, model_name = config.name, config.name.removeprefix(TIMM)
    require("timm", f"encoder.name={name}")
    import timm
    from timm.layers import convert_sync_batchnorm

    if model_name not in timm.list_models():
        raise UsageError(f"encoder.name={name}: timm has no such model; timm.list_models() names them")
    if config.width != 1 or config.norm == "split":
        raise UsageError(
            f"encoder.name={name}: expected encoder.width=1 and encoder.norm=batch or sync, as timm's models have "
            f"no other, got width={config.width:g} and norm={config.norm}"
        )
    options = {"num_classes": 0, "in_chans": channels}
    try:  # positions that are interpolated to the size of the images
        model = timm.create_model(model_name, **options, dynamic_img_size=True)
    except TypeError:  # a model without the option
        model = timm.create_model(model_name, **options)
    return TimmEncoder(convert_sync_batchnorm(model) if config.norm == "sync" else model, name)
