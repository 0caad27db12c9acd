"""The features of a run while it trains: the proof that it learns, without labels in its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.encoders import Encoder, starts_at_random
from sslfast.evaluation.features import features, labeled_features
from sslfast.evaluation.images import readable
from sslfast.evaluation.knn import knn_accuracy
from sslfast.evaluation.knn_config import KNN_TEMPERATURE
from sslfast.evaluation.quality import SAMPLE, evenly_spaced, feature_quality, mirror_alignment
from sslfast.run.backbone import random_encoder


class FeatureMonitor:
    """The quality of the features of the training images, and what kNN by them makes of held-out ones.

    Args:
        recipe: what runs.
        train_set: the images that vote, and whose features are measured.
        val_set: the held-out images; None: there are none, and no kNN.
        device: where to compute.

    Attributes:
        initial_top1: the accuracy of the initial weights, once it is known.
    """

    def __init__(self, recipe: Recipe, train_set: Source, val_set: Source | None, device: torch.device) -> None:
        self.recipe, self.train_set, self.val_set, self.device = recipe, train_set, val_set, device
        self.initial_top1: float | None = None

    @property
    def num_images(self) -> int:
        """Counts the held-out images that can be read, as far as they have been read."""
        return 0 if self.val_set is None else len(readable(self.val_set))

    def is_due(self, epoch: int) -> bool:
        """Tells whether an evaluation is due after so many epochs: before the first and after the last, too."""
        train = self.recipe.train
        return train.knn_every > 0 and (epoch % train.knn_every == 0 or epoch == train.epochs)

    def evaluate(self, encoder: Encoder, epoch: int, check_interrupt: Callable[[], None]) -> dict[str, float]:
        """Measures the figures of an encoder after so many epochs, by their names in metrics.jsonl.

        `knn_top1`, beside it `knn_initial_top1`, that of the initial weights, those of
        `sslfast.evaluation.quality.feature_quality`, and `feature_alignment`, its `mirror_alignment`. Where the
        initial weights were not evaluated in their time, random ones are made again; of others, whose file need
        not be there any more, the accuracy stays unknown.

        Args:
            encoder: the encoder that trains.
            epoch: epochs done.
            check_interrupt: is called between batches; what it raises ends the evaluation.
        """
        data, values = self.recipe.data, {}
        if self.val_set is None:
            some = self.train_set.subset(evenly_spaced(len(self.train_set), SAMPLE))
            x, _ = features(encoder, some, data, self.device, check_interrupt=check_interrupt)
        else:
            x, y = self._labeled(encoder, self.train_set, check_interrupt)
            values["knn_top1"] = self._top1(encoder, x, y, check_interrupt)
            if self.initial_top1 is None and not epoch:
                self.initial_top1 = values["knn_top1"]
            elif self.initial_top1 is None and starts_at_random(self.recipe.encoder):
                random = self._random()
                self.initial_top1 = self._top1(
                    random, *self._labeled(random, self.train_set, check_interrupt), check_interrupt
                )
            if self.initial_top1 is not None:
                values["knn_initial_top1"] = self.initial_top1
        aligned = mirror_alignment(encoder, self.train_set, data, self.device, check_interrupt)
        return {**values, **feature_quality(x), "feature_alignment": aligned}

    def _random(self) -> Encoder:
        encoder = random_encoder(self.recipe.encoder, self.recipe.data, self.recipe.train.seed)
        return encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _labeled(
        self, encoder: Encoder, source: Source, check_interrupt: Callable[[], None]
    ) -> tuple[Tensor, Tensor]:
        return labeled_features(encoder, source, self.recipe.data, self.device, check_interrupt=check_interrupt)

    def _top1(self, encoder: Encoder, x: Tensor, y: Tensor, check_interrupt: Callable[[], None]) -> float:
        """Measures the accuracy of kNN by the training images' features and labels."""
        assert self.val_set is not None
        accuracy = knn_accuracy(
            x,
            y,
            *self._labeled(encoder, self.val_set, check_interrupt),
            k=self.recipe.train.knn_k,
            temperature=KNN_TEMPERATURE,
            num_classes=len(self.val_set.classes),
            check_interrupt=check_interrupt,
        )
        return accuracy["top1"]
