"""Jigsaw puzzles: which permutation nine patches are in (Noroozi and Favaro 2016, arXiv:1603.09246)."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass
from torch import Tensor

from sslfast.config import Recipe
from sslfast.config.fields import STRICT, Count
from sslfast.encoders import Encoder
from sslfast.methods.parts.puzzle import Puzzle, PuzzleConfig
from sslfast.random.key import Stream
from sslfast.views import Key, jigsaw_cells, normalize_patches, permutation_set, permuted

CELLS = 3  # along a side


@dataclass(config=STRICT)
class JigsawConfig(PuzzleConfig):
    name: Literal["jigsaw"]
    classes: Annotated[int, Field(ge=2, le=362_880, strict=True)] = 1000
    """Number of permutations to tell apart, far from each other; the paper compares 24 to 1000 (table 4)."""
    normalize: bool = True
    """Each patch gets mean 0 and standard deviation 1, so that neither tells neighbors."""
    trunk: Count = 1024


class Jigsaw(Puzzle[JigsawConfig]):
    """The context-free network: patches meet only after the trunk. Ours leaves out its dropout."""

    Config = JigsawConfig
    permutations: Tensor

    def __init__(self, recipe: Recipe[JigsawConfig], encoder: Encoder, num_images: int) -> None:
        num_classes = recipe.method.classes
        super().__init__(recipe, encoder, num_images, num_patches=CELLS**2, num_classes=num_classes)
        self.register_buffer("permutations", permutation_set(num_classes), persistent=False)

    def puzzle(self, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
        return _puzzle(self.config, self.permutations, view, key)

    @classmethod
    def inputs_of_view(cls, recipe: Recipe[JigsawConfig], number: int, view: Tensor, key: Key) -> Tensor:
        permutations = permutation_set(recipe.method.classes).to(view.device)
        return _puzzle(recipe.method, permutations, view, key)[0]

    @classmethod
    def chance_loss(cls, recipe: Recipe[JigsawConfig], num_images: int) -> float:
        return math.log(recipe.method.classes)


def _puzzle(config: JigsawConfig, permutations: Tensor, view: Tensor, key: Key) -> tuple[Tensor, Tensor]:
    """Cuts views into patches in other orders, (B, 9, 3, p, p), and tells the orders' numbers, int64 (B,)."""
    cells = jigsaw_cells(view, key, CELLS, config.patch)
    if config.normalize:
        cells = normalize_patches(cells)
    answer = key.integers(Stream.PERMUTATION, config.classes)
    return permuted(cells, permutations[answer]), answer
