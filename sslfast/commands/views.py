"""`sslfast views`: a contact sheet of the views that a recipe's networks will get."""

from __future__ import annotations

from pathlib import Path

from sslfast.config import Recipe
from sslfast.config.paths import user_path
from sslfast.data import open_data
from sslfast.device import choose_device
from sslfast.errors import UsageError
from sslfast.recipes.check import check_form
from sslfast.report.sheet import draw_views


def draw(recipe: Recipe, out: str | Path) -> Path:
    """Draws some images of a recipe's source, and below them each of their views.

    Args:
        recipe: the recipe.
        out: the PNG to write; one that exists is replaced.

    Returns:
        `out`.

    Raises:
        UsageError: a method that cannot work on such views, images that cannot be opened, or a file that
            cannot be written.
    """
    out = user_path(out)
    if out.suffix.lower() != ".png":
        raise UsageError(f"--out {out}: expected the name of a .png file")
    check_form(recipe)
    source = open_data(recipe.data)
    return draw_views(source, recipe, choose_device(recipe.train.device), out)
