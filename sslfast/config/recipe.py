"""The schema of recipes: every setting that a run has, its default and its meaning.

A recipe is a YAML file of these dataclasses; every field but the method's name has a default, so a recipe
states only what it changes. The settings of a method stand in the method's file: this one knows no method, and
`sslfast.recipes.load` brings the two together.
"""

from __future__ import annotations

from dataclasses import field
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import Field
from pydantic.dataclasses import dataclass

from sslfast.config.fields import (
    STRICT,
    Count,
    CountOrZero,
    NonNegative,
    Positive,
    Probability,
    Range,
    Seed,
    Share,
    ShareRange,
)


@dataclass(config=STRICT)
class ViewConfig:
    """One augmented view of an image. The defaults are MoCo v2's (Chen et al. 2020) without its blur."""

    size: Count | None = None
    """Side of the view, pixels; null: data.size."""
    scale: ShareRange = (0.2, 1.0)
    """Share of the image's area that a crop covers: least, most."""
    ratio: Range = (3 / 4, 4 / 3)
    """Width / height of a crop: least, most."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    jitter: Probability = 0.8
    """Probability of the colour jitter, whose strengths follow."""
    brightness: NonNegative = 0.4
    """Factor drawn from [1 - b, 1 + b]."""
    contrast: NonNegative = 0.4
    """Factor drawn from [1 - c, 1 + c]."""
    saturation: NonNegative = 0.4
    """Factor drawn from [1 - s, 1 + s]."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Rotation drawn from [-h, h], as a share of the full circle."""
    grayscale: Probability = 0.2
    """Probability of grayscale."""
    blur: Probability = 0.0
    """Probability of Gaussian blur."""
    blur_sigma: Range = (0.1, 2.0)
    """Standard deviation of the blur, pixels: least, most."""
    solarize: Probability = 0.0
    """Probability of solarisation: values of 128 and more are inverted."""


@dataclass(config=STRICT)
class DataConfig:
    source: str = "shapes"
    """An image folder, a .tar(.xz) of one, a torchvision data set's name, or `shapes`; set by --data."""
    size: Count = 32
    """Side of a view, pixels."""
    batch_size: Count = 256
    """Images a step, of all processes together, which share them equally."""
    limit: Count | None = None
    """Use so many images, balanced over the classes; null: all."""
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share held out for evaluation where there are labels."""
    pipeline: Literal["auto", "resident", "dali", "dali_only"] = "auto"
    """resident: images on the device; dali: decoded as needed; auto: by size; dali_only: augmented by DALI too."""
    decode: Literal["once", "region"] = "once"
    """once: whole photographs; region: of JPEGs only the part that holds the crops."""
    workers: Count = 2
    """DALI's threads."""
    prefetch: Count = 2
    """Batches that DALI prepares ahead."""
    on_error: Literal["skip", "stop"] = "skip"
    """What an unreadable image does: skip: it is named in the log and left out; stop: so is the run."""
    max_bad: Probability = 0.01
    """Under on_error=skip, stop when more than this share of the images cannot be read."""
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    """Mean of the red, green, blue channels over [0, 1]; the default is ImageNet's."""
    std: tuple[Positive, Positive, Positive] = (0.229, 0.224, 0.225)
    """Standard deviation of the channels."""
    views: list[ViewConfig] = field(default_factory=lambda: [ViewConfig(), ViewConfig()])
    """The augmented views of an image, in order, or a preset's name: data.views.0.blur=0.5 changes the first."""

    @property
    def sizes(self) -> list[int]:
        """Side of each view, pixels."""
        return [view.size or self.size for view in self.views]


@dataclass(config=STRICT)
class EncoderConfig:
    name: str = "resnet18"
    """A ResNet of torchvision, vit_small, vit_base, or timm/<model> where timm is installed."""
    stem: Literal["imagenet", "cifar"] = "imagenet"
    """Of ResNets. cifar: a 3x3 convolution of stride 1 and no max-pool, for small images."""
    width: Positive = 1.0
    """Multiplies every channel count."""
    patch_size: Count = 16
    """Of vit_small and vit_base, pixels; 4 suits images of 32."""
    freeze_patch_projection: bool = True
    """Keep the random patch projection of vit_small and vit_base as it is, for stability (MoCo v3)."""
    norm: Literal["batch", "split", "sync", "layer"] = "batch"
    """split: over `norm_splits` parts of the batch apart, in heads of MoCo's kin too; sync: over all processes, in
    every method's heads too; layer: over one image each."""
    norm_splits: Count = 8
    """Parts of the batch under norm=split."""
    zero_init_residual: bool = False
    """Of ResNets: every residual branch starts at 0 (Goyal et al. 2017, arXiv:1706.02677)."""
    colors: Literal["rgb", "lab", "ydbdr"] = "rgb"
    """lab, ydbdr: an encoder, of width / color_parts, for each part of these colours, in place of one of RGB."""
    color_parts: Literal[2, 3] = 2
    """2: luminance and chrominance; 3: each channel apart."""


@dataclass(config=STRICT)
class OptimConfig:
    name: Literal["sgd", "lars", "adamw"] = "sgd"
    """The optimizer."""
    lr: Positive = 0.03
    """Learning rate at a batch of 256; scaled linearly with the batch size."""
    bias_lr: Positive | None = None
    """That of biases and normalisation parameters; null: lr."""
    momentum: Probability = 0.9
    """Of sgd and lars."""
    betas: tuple[Probability, Probability] = (0.9, 0.999)
    """Of adamw."""
    weight_decay: NonNegative = 1e-4
    """L2 for sgd and lars, decoupled for adamw."""
    exclude_bias_and_norm: bool = False
    """Keep biases and normalisation parameters from weight decay and from LARS's adaptation."""
    trust_coefficient: Positive = 1e-3
    """Of lars."""
    clip_norm: Positive | None = None
    """The norm that the gradient of all parameters is scaled down to where it is larger; null: it is not."""
    warmup_epochs: NonNegative = 0.0
    """Epochs of linear warm-up."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """How the learning rate falls after the warm-up."""
    final_lr: Probability = 0.0
    """Where the cosine ends, as a share of lr."""
    step_at: tuple[Share, ...] = (0.6, 0.8)
    """Shares of the training after which the steps fall."""
    step_factor: Share = 0.1
    """What a step multiplies the learning rate by."""


@dataclass(config=STRICT)
class TrainConfig:
    epochs: Count = 200
    """Passes over the data."""
    seed: Seed = 0
    """Of the weights, the order of the images and the augmentations."""
    device: str = "auto"
    """auto: cuda where there is one, else cpu."""
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    """bf16: views and autocast; auto: bf16 on a GPU, fp32 on the CPU."""
    compile: bool | None = None
    """torch.compile of the encoders; null: on a GPU."""
    threads: Count | None = None
    """CPU threads; null: torch's own choice."""
    log_every: Count = 10
    """Steps between lines of metrics.jsonl."""
    knn_every: CountOrZero = 10
    """Epochs between evaluations by kNN during training; 0: never."""
    knn_k: Count = 200
    """Neighbours that vote."""
    checkpoint_every: Count = 1
    """Epochs between checkpoints."""
    keep_checkpoints: Count = 2
    """How many of the latest checkpoints are kept."""
    max_bad_steps: Count = 10
    """Stop when so many steps in a row were not finite in loss or gradient; looked at when logging."""


MethodSettings = TypeVar("MethodSettings")


@dataclass(config=STRICT)
class Recipe(Generic[MethodSettings]):
    """Every setting of a run; `Recipe[SwAVConfig]` is the one of a run of SwAV."""

    method: MethodSettings
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
