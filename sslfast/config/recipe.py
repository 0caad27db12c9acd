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
    BelowOne,
    Count,
    CountOrZero,
    Deviations,
    Means,
    NonNegative,
    Positive,
    Probability,
    Range,
    Region,
    Seed,
    Share,
    ShareRange,
    Side,
    Sources,
    ValueRange,
)


@dataclass(config=STRICT)
class ViewConfig:
    """One augmented view of an image. The defaults are MoCo v2's (Chen et al. 2020) without its blur."""

    size: Side | None = None
    """Side of the view in pixels; null: data.size."""
    region: Region = (0.0, 0.0, 1.0, 1.0)
    """Part of the image that is cropped: top, left, bottom and right, as shares of its height and width."""
    scale: ShareRange = (0.2, 1.0)
    """Share of that part's area that the crop covers: least and most."""
    ratio: Range = (3 / 4, 4 / 3)
    """Width / height of the crop, before it is made square: least and most."""
    flip: Probability = 0.5
    """Probability of a horizontal flip."""
    jitter: Probability = 0.8
    """Probability of the color jitter, whose strengths follow."""
    brightness: NonNegative = 0.4
    """Strength b of the brightness jitter: its factor is sampled from [1 - b, 1 + b]."""
    contrast: NonNegative = 0.4
    """Strength c of the contrast jitter: its factor is sampled from [1 - c, 1 + c]."""
    saturation: NonNegative = 0.4
    """Strength s of the saturation jitter: its factor is sampled from [1 - s, 1 + s]."""
    hue: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    """Strength h of the hue jitter: its rotation is sampled from [-h, h], as a share of the full circle."""
    grayscale: Probability = 0.2
    """Probability that the view loses its colors."""
    blur: Probability = 0.0
    """Probability of Gaussian blur."""
    blur_sigma: Range = (0.1, 2.0)
    """Standard deviation of the blur in pixels: least and most."""
    solarize: Probability = 0.0
    """Probability of solarization, which inverts values of 128 and more (of 255)."""


@dataclass(config=STRICT)
class DataConfig:
    """The images, how they are read, and the views that are made of them."""

    source: Sources = "shapes"
    """The images: a folder, a .tar(.xz) of one, a torchvision data set's name, or `shapes`; a list: the images of
    several, in order; --data sets it."""
    labels: bool = True
    """Whether images have the labels of their source; false: none has, and subfolders are no classes."""
    classes: str | None = None
    """Classes to use, in this order: a text file with a name a line, imagenet100, or names with commas between;
    null: all."""
    size: Side = 32
    """Side of a view in pixels, where the view states no other."""
    batch_size: Count = 256
    """Number of images in a step, over all processes together, which share them equally."""
    limit: Count | None = None
    """Number of images to use, balanced over the classes; null: all."""
    val_fraction: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of the images held out from training for evaluation, where the images have labels."""
    pipeline: Literal["auto", "resident", "dali", "dali_only", "pillow"] = "auto"
    """The input pipeline. resident: all images stay on the device; dali: DALI decodes files as they are needed;
    dali_only: DALI augments them too; pillow: Pillow decodes files as they are needed, on the CPU; auto: resident
    for small images, for others dali where it is installed, else pillow."""
    decode: Literal["once", "region"] = "once"
    """What DALI decodes of a JPEG. once: all of it; region: only the part that holds the crops."""
    workers: Count | None = None
    """Number of CPU threads of a process that read and decode files; null: as many as cores, shared by the
    processes of a machine."""
    prefetch: Count = 2
    """Number of batches that are prepared ahead."""
    on_error: Literal["skip", "stop"] = "skip"
    """Treatment of unreadable images. skip: they are named in the log and left out; stop: the run stops."""
    max_bad: Probability = 0.01
    """Largest share of the images that may be unreadable under on_error=skip; beyond it the run stops."""
    max_unpacked: Positive | None = None
    """Largest size in GiB that an archive may have unpacked; null: 20 times the archive's, and at least 1."""
    channels: Count = 3
    """Number of channels of the images that the encoder takes. 3: red, green and blue; gray images are repeated
    over them; 1: gray images; files of colors are refused, not converted; other numbers: arrays given from Python.
    DALI reads RGB of 8 bits only; Pillow reads the other files."""
    depth: Literal[8, 16] = 8
    """Number of bits that images keep. 8: files of more are scaled to it by `range`, and arrays of more refused;
    16: gray files, PNGs and arrays of 16 bits keep theirs, and those of 8 are scaled to it; views are then made
    by plain PyTorch, slower than by a kernel."""
    range: ValueRange | None = None
    """Values that become black and white in images of more than 8 bits: [0, 4095] for 12 bits in 16; null: 0 and
    the largest that the bits hold. Signed, 32-bit and floating-point values of files need it."""
    mean: Means = (0.485, 0.456, 0.406)
    """Mean of each channel, in [0, 1], that normalization subtracts; the default: ImageNet's, of red, green and
    blue."""
    std: Deviations = (0.229, 0.224, 0.225)
    """Standard deviation of each channel that normalization divides by; the default: ImageNet's, likewise."""
    views: list[ViewConfig] = field(default_factory=lambda: [ViewConfig(), ViewConfig()])
    """The augmented views of an image, in order, or a preset's name; data.views.0.blur=0.5 changes the first."""

    @property
    def sizes(self) -> list[int]:
        """Lists the side of each view in pixels."""
        return [view.size or self.size for view in self.views]


@dataclass(config=STRICT)
class EncoderConfig:
    """The backbone that pre-training is for."""

    name: str = "resnet18"
    """The encoder: a ResNet of torchvision (resnet18, ...), vit_small, vit_base, or timm/<model> where timm is
    installed."""
    weights: str | None = None
    """Encoder whose weights training starts from: a run's directory, a checkpoint, a file of weights,
    torchvision/<model>[@<weights>] or timm/<model>[@<tag>]; null: random ones. Heads start at random."""
    stem: Literal["imagenet", "cifar"] = "imagenet"
    """First layers of a ResNet. imagenet: a 7x7 convolution of stride 2 and a max-pool; cifar: a 3x3 convolution
    of stride 1, for small images."""
    width: Annotated[Positive, Field(le=100)] = 1.0
    """Factor of all channel counts of a ResNet."""
    patch_size: Count = 16
    """Side of the patches of vit_small and vit_base in pixels; 4 suits images of 32."""
    freeze_patch_projection: bool = True
    """Whether vit_small and vit_base keep their random patch projection as it is, for stability (MoCo v3)."""
    pool: Literal["class", "mean"] = "class"
    """Features of vit_small and vit_base. class: the class token; mean: the mean of the patches' tokens, for MAE,
    which has no loss on the class token; not for iBOT, which has one. Other encoders have no such choice."""
    norm: Literal["batch", "split", "sync", "layer"] = "batch"
    """Normalization. batch: over a process's images; split: over each of norm_splits parts of the batch, in the
    heads of MoCo and its relatives too; sync: over all processes' images, in every method's heads too; layer: over
    each image alone."""
    norm_splits: Count = 8
    """Number of parts of the batch under norm=split."""
    zero_init_residual: bool = False
    """Whether every residual branch of a ResNet starts at 0 (Goyal et al. 2017, arXiv:1706.02677)."""
    colors: Literal["rgb", "lab", "ydbdr"] = "rgb"
    """Color space of the input. rgb: one encoder; lab, ydbdr: an encoder for each part of its channels, of
    width / color_parts."""
    color_parts: Literal[2, 3] = 2
    """Number of parts under colors=lab and ydbdr. 2: luminance and chrominance; 3: each channel apart."""


@dataclass(config=STRICT)
class OptimConfig:
    """The optimizer, and the schedule of its learning rate."""

    name: Literal["sgd", "lars", "adamw"] = "sgd"
    """The optimizer: sgd, lars or adamw."""
    lr: Positive = 0.03
    """Learning rate after the warm-up, at a batch of 256 images; it is scaled linearly with the batch size."""
    bias_lr: Positive | None = None
    """Learning rate of biases and normalization parameters; null: lr."""
    momentum: Probability = 0.9
    """Momentum of sgd and lars."""
    betas: tuple[BelowOne, BelowOne] = (0.9, 0.999)
    """Decay rates of the first and second moment in adamw."""
    weight_decay: NonNegative = 1e-4
    """Weight decay: an L2 penalty in sgd and lars, decoupled from the gradient in adamw."""
    exclude_bias_and_norm: bool = False
    """Whether biases and normalization parameters are without weight decay, and without the adaptation of lars."""
    trust_coefficient: Positive = 1e-3
    """Trust coefficient of lars, which scales each parameter's step to the length of the parameter."""
    clip_norm: Positive | None = None
    """Largest norm of the gradient of all parameters: a larger one is scaled down to it; null: none is."""
    warmup_epochs: NonNegative = 0.0
    """Number of epochs in which the learning rate rises linearly from 0, before the schedule."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """Fall of the learning rate after the warm-up: along half a cosine, or in steps."""
    final_lr: Probability = 0.0
    """Learning rate at the end of the cosine, as a share of lr."""
    step_at: tuple[Share, ...] = (0.6, 0.8)
    """Shares of the training after which the learning rate falls under schedule=steps."""
    step_factor: Share = 0.1
    """Factor of the learning rate at each fall under schedule=steps."""


@dataclass(config=STRICT)
class TrainConfig:
    """The length of a run, its arithmetic, and what it logs and keeps."""

    epochs: Count = 200
    """Number of passes over the images."""
    seed: Seed = 0
    """Seed of the initial weights, of the order of the images and of the augmentations."""
    device: str = "auto"
    """Device to train on: auto, cpu, cuda or cuda:<number>; auto: cuda where there is one, else cpu."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of the arithmetic. bf16, fp16: views in it, and autocast, of a scaled loss in fp16; auto: bf16 on
    a GPU and on a CPU with AVX512-BF16 or AMX-BF16, fp16 on a GPU without bf16, else fp32. A run keeps what it
    was started in."""
    accumulate: Count = 1
    """Number of equal parts of a process's images that a step takes one after the other, in as much less memory.
    For methods whose loss is a mean over images; batch normalization is over a part."""
    parallel: Literal["ddp", "fsdp"] = "ddp"
    """Weights of a run of several processes. ddp: each process has all of them; fsdp: each has a part of them, of
    their gradients and of the optimizer's state (FSDP2)."""
    checkpointing: bool = False
    """Whether an encoder's blocks compute their activations again in the backward pass, and do not keep them."""
    compile: bool | None = None
    """Whether torch.compile compiles the encoders; null: on a GPU only."""
    threads: Count | None = None
    """Number of CPU threads; null: torch's own choice."""
    log_every: Count = 10
    """Number of steps between lines of metrics.jsonl."""
    loggers: list[Literal["wandb", "mlflow"]] = field(default_factory=list)
    """Services that these lines go to, too, beside TensorBoard where it is installed."""
    knn_every: CountOrZero = 10
    """Number of epochs between evaluations of the features, by kNN where images are held out; 0: no evaluation."""
    knn_k: Count = 200
    """Number of neighbors that vote in these evaluations."""
    checkpoint_every: Count = 1
    """Number of epochs between checkpoints."""
    keep_checkpoints: Count = 2
    """Number of the latest checkpoints that are kept."""
    rank_timeout: Count = 600
    """Number of seconds that a process of several waits for another in an exchange before the run ends."""
    max_bad_steps: Count = 10
    """Number of steps in a row without a finite loss or gradient that stops the run, at the next logged line."""


MethodSettings = TypeVar("MethodSettings")


@dataclass(config=STRICT)
class Recipe(Generic[MethodSettings]):
    """Every setting of a run; `Recipe[SwAVConfig]` is the one of a run of SwAV."""

    method: MethodSettings
    encoder: EncoderConfig = field(default_factory=EncoderConfig)
    data: DataConfig = field(default_factory=DataConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    train: TrainConfig = field(default_factory=TrainConfig)
