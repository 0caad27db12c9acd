"""The form of a protocol: its settings, how it opens its images, and how it judges an encoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from sslfast.config import DataConfig
from sslfast.data.sources.names import Names
from sslfast.encoders import Encoder
from sslfast.evaluation.options import EvaluationConfig

# A line of a result's table: keys out of `result.HEADINGS`, measures as floats, which are shares in [0, 1].
# Beside them may stand CONFUSION: [label, predicted class, number of images] of each pair that occurs; and IOU: a
# measure, or None, of each class by its name.
Row = dict[str, Any]
CONFUSION, IOU = "confusion", "iou"

Images = TypeVar("Images")


@dataclass(frozen=True)
class RunImages:
    """The images that a run was pre-trained on.

    Attributes:
        data: the `data` section of its recipe.
        inventory: the file of their inventory, which a run of an older sslfast lacks.
    """

    data: DataConfig
    inventory: Path


@dataclass(frozen=True)
class TrainVal(Generic[Images]):
    """The images of an evaluation.

    Attributes:
        train, val: the training and the held-out images.
        data: the name of the training images' source, or the names of several.
        val_data: those of the held-out images' source; None: they are a part of `data`.
        options: the protocol's settings, with what the images made of those that were null.
        own_split: whether the held-out images are those that a run's pre-training held out.
    """

    train: Images
    val: Images
    data: str | list[str]
    val_data: str | list[str] | None
    options: Any
    own_split: bool = False


@dataclass(frozen=True)
class Counts:
    """The numbers of an evaluation's images that can be read.

    Attributes:
        train_images, val_images: how many there are of each.
        classes: number of classes.
        chance: share of the held-out images in their commonest class, which a constant guess reaches; None where
            an image is not of one class.
        class_names: the classes' names, in the order in which rows count them; empty where no row does.
    """

    train_images: int
    val_images: int
    classes: int
    chance: float | None = None
    class_names: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Protocol(Generic[Images]):
    """A way to judge an encoder.

    Attributes:
        config: the dataclass of its settings; its docstring says what the protocol is.
        open: (data, val, options, run) -> the images. `data` and `val` are as the user typed them, a list where
            these are several; `val` may be None; `options` are an instance of `config`; `run` is what the encoder
            was pre-trained on, or None.
        judge: (encoder, train, val, data, options, stem) -> rows. The encoder is on the device to compute on, and
            stays as it is; `data` has the size and the normalization of the encoder's input. The names of files
            that a judgement writes begin with `stem`, and it goes on where another one of the same stem was
            interrupted.
        count: (train, val) -> their numbers, once they have been read.
    """

    config: type[EvaluationConfig]
    open: Callable[[Names, Names | None, Any, RunImages | None], TrainVal[Images]]
    judge: Callable[[Encoder, Images, Images, DataConfig, Any, Path], list[Row]]
    count: Callable[[Images, Images], Counts]
