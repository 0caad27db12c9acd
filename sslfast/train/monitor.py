"""The accuracy of kNN while a run trains: the proof that it learns, without labels in its loss."""

from __future__ import annotations

from collections.abc import Callable

import torch

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.encoders import Encoder
from sslfast.evaluation.features import labeled_features
from sslfast.evaluation.images import readable
from sslfast.evaluation.knn import KNN_TEMPERATURE, knn_accuracy
from sslfast.run.backbone import random_encoder


class KNNMonitor:
    """The top-1 accuracy of kNN on held-out images, beside that of the initial weights.

    Args:
        recipe: what runs.
        train_set: the images that vote.
        val_set: the held-out images; None: there are none, and nothing is due.
        device: where to compute.

    Attributes:
        initial_top1: the accuracy of the initial weights, once it is known.
    """

    def __init__(self, recipe: Recipe, train_set: Source, val_set: Source | None, device: torch.device) -> None:
        self.recipe, self.train_set, self.val_set, self.device = recipe, train_set, val_set, device
        self.initial_top1: float | None = None

    @property
    def num_images(self) -> int:
        """The number of held-out images that can be read, as far as they have been read."""
        return 0 if self.val_set is None else len(readable(self.val_set))

    def is_due(self, epoch: int) -> bool:
        """Whether an evaluation is due after so many epochs: before the first one, and after the last one, too."""
        train = self.recipe.train
        if self.val_set is None or not train.knn_every:
            return False
        return epoch % train.knn_every == 0 or epoch == train.epochs

    def evaluate(
        self, encoder: Encoder, epoch: int, check_interrupt: Callable[[], None]
    ) -> tuple[float, float | None]:
        """The accuracy of an encoder after so many epochs, and that of the initial weights.

        Where the initial weights were not evaluated in their time, random ones are made again; of others, whose
        file need not be there any more, the accuracy stays unknown: None.

        Args:
            encoder: the encoder that trains.
            epoch: epochs done.
            check_interrupt: is called between batches; what it raises ends the evaluation.
        """
        if self.initial_top1 is None and not (epoch and self.recipe.encoder.weights):
            self.initial_top1 = self._top1(self._random() if epoch else encoder, check_interrupt)
        if epoch == 0 and self.initial_top1 is not None:
            return self.initial_top1, self.initial_top1
        return self._top1(encoder, check_interrupt), self.initial_top1

    def _random(self) -> Encoder:
        encoder = random_encoder(self.recipe.encoder, self.recipe.data, self.recipe.train.seed)
        return encoder.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _top1(self, encoder: Encoder, check_interrupt: Callable[[], None]) -> float:
        assert self.val_set is not None
        bank, queries = (
            labeled_features(encoder, source, self.recipe.data, self.device, check_interrupt=check_interrupt)
            for source in (self.train_set, self.val_set)
        )
        accuracy = knn_accuracy(
            *bank,
            *queries,
            k=self.recipe.train.knn_k,
            temperature=KNN_TEMPERATURE,
            num_classes=len(self.val_set.classes),
            check_interrupt=check_interrupt,
        )
        return accuracy["top1"]
