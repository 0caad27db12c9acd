"""The number of classes of a method that learns from labels."""

from __future__ import annotations

import dataclasses
from typing import Any

from sslfast.config import Recipe
from sslfast.data import Source
from sslfast.errors import UsageError


def with_num_classes(recipe: Recipe[Any], source: Source) -> Recipe[Any]:
    """Returns the recipe with `method.num_classes` as the images have it.

    Raises:
        UsageError: the recipe has another number.
    """
    asked, num_classes = recipe.method.num_classes, len(source.classes)
    if asked not in (None, num_classes):
        raise UsageError(
            f"method.num_classes={asked}: expected that of {source.name}, {num_classes}; leave it out"
        )
    return dataclasses.replace(recipe, method=dataclasses.replace(recipe.method, num_classes=num_classes))
