"""`sslfast views`: a contact sheet of what the networks of a recipe will see."""

from __future__ import annotations

from pathlib import Path

from sslfast.config import Recipe
from sslfast.data import open_source
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.report.sheet import draw_views


def draw(recipe: Recipe, out: Path) -> Path:
    """Draws some images of a recipe's source, and below them each of their views.

    Args:
        recipe: the recipe.
        out: the PNG to write; one that exists is replaced.

    Returns:
        `out`.

    Raises:
        UsageError: a method that cannot work on views of this size, images that cannot be opened, or a file that
            cannot be written.
    """
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: expected the name of a .png file")
    data = recipe.data
    source = open_source(data.source, limit=data.limit, max_bad=data.max_bad, on_error=data.on_error)
    return draw_views(source, recipe, choose_device(recipe.train.device), out)
