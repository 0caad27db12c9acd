"""The settings of the linear probe, and those of the papers' protocols."""

from __future__ import annotations

from typing import Any, Literal

from pydantic.dataclasses import dataclass

from sslfast.config.fields import STRICT, CountOrZero, NonNegative, Probability
from sslfast.evaluation.options import FeaturesConfig

# The sources' protocols: what they train the classifier by, on images that are augmented anew each epoch. Learning
# rates are at a batch of 256. None has a weight decay.
PUBLISHED: dict[str, dict[str, Any]] = {
    # He et al. 2020 (arXiv:1911.05722), section 4.1
    "moco": {"form": "sgd", "epochs": 100, "lr": 30.0, "batch_size": 256},
    # Chen and He 2021 (arXiv:2011.10566), appendix A
    "simsiam": {"form": "lars", "epochs": 90, "lr": 0.1, "batch_size": 4096},
    # MNCL, section 4.1
    "mncl": {"form": "lars", "epochs": 90, "lr": 0.8, "batch_size": 256},
    # LEWEL (Huang et al. 2022), section 4.1, its two forms; 3.2 at a batch of 4096, and the steps at 30 and 40
    "lewel_m": {"form": "lars", "epochs": 90, "lr": 0.2, "batch_size": 4096},
    "lewel_b": {"form": "sgd", "epochs": 50, "lr": 0.4, "batch_size": 256},
}
FAST = "fast"
MOMENTUM = 0.9


@dataclass(config=STRICT)
class LinearConfig(FeaturesConfig):
    """A linear classifier on the frozen encoder, the linear probe."""

    protocol: Literal["features", "fast", "moco", "simsiam", "mncl", "lewel_m", "lewel_b"] = "features"
    """What the classifier is trained on, and the defaults. features: features that are computed once, of images as
    they are; fast: the same, by logistic regression, which has no learning rate; moco, simsiam, mncl, lewel_m,
    lewel_b: images that are cropped and flipped anew each epoch, by the settings of that paper."""
    form: Literal["sgd", "lars"] | None = None
    """Optimizer and schedule. sgd: lr / 10 at 60 % and 80 % of the epochs; lars: a cosine; null: the protocol's,
    for features sgd."""
    epochs: CountOrZero = 0
    """Number of passes over the images; 0: the protocol's, for features 100 (sgd), 90 (lars)."""
    lr: NonNegative = 0.0
    """Learning rate at a batch of 256, scaled linearly with it; 0: the protocol's, for features 0.1, or 30 for sgd
    without standardize."""
    batch_size: CountOrZero = 0
    """Number of images in a step, at most all training images; 0: the protocol's, for features 256 (sgd), 4096
    (lars)."""
    momentum: Probability = MOMENTUM
    """Momentum of sgd and lars."""
    weight_decay: NonNegative | None = None
    """Weight decay: an L2 penalty on the classifier; null: 0, for fast the best of 15 from 10 to 1e-6 on a fifth
    of the training images, of which then all are trained on."""
    standardize: bool | None = None
    """Whether each feature gets mean 0 and variance 1, over the training images or over a batch of augmented ones,
    or stays as it is; null: for features and fast only."""

    def __post_init__(self) -> None:
        if self.protocol in PUBLISHED:
            if self.precision in ("bf16", "fp16"):
                raise ValueError(
                    f"precision={self.precision}: protocol={self.protocol} trains on augmented images, in fp32; "
                    "leave it out, or use protocol=features or fast"
                )
            self.precision = "fp32"
        super().__post_init__()
        if self.standardize is None:
            self.standardize = self.protocol not in PUBLISHED
        if self.protocol == FAST:
            self._check_without_training()
            return
        published = PUBLISHED.get(self.protocol, {})
        self.form = self.form or published.get("form", "sgd")
        sgd = self.form == "sgd"
        self.epochs = self.epochs or published.get("epochs", 100 if sgd else 90)
        self.lr = self.lr or published.get("lr", 30.0 if sgd and not self.standardize else 0.1)
        self.batch_size = self.batch_size or published.get("batch_size", 256 if sgd else 4096)
        self.weight_decay = self.weight_decay or 0.0

    def _check_without_training(self) -> None:
        """Raises ValueError where a setting of the training by steps is given."""
        given = {key: getattr(self, key) for key in ("form", "epochs", "lr", "batch_size")}
        if self.momentum != MOMENTUM:
            given["momentum"] = self.momentum
        if found := [f"{key}={value}" for key, value in given.items() if value]:
            raise ValueError(
                f"{', '.join(found)}: protocol=fast is solved to its optimum and has no such setting; leave "
                "it out, or use protocol=features"
            )
