"""The files of the recipes, and of the sweeps over them, that come with the package."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from sslfast.recipes import families

ABLATIONS = "ablations"  # the folder of the papers' tables
NO_RECIPES = (families.FOLDER, ABLATIONS)  # folders of files that are no recipe
FOLDER = Path(str(resources.files("sslfast"))) / "recipes"
PHOTOGRAPHS = "imagenette"  # the folder of the recipes that a method's bare name stands for


def recipes() -> dict[str, Path]:
    """Finds the recipes that come with the package by name, and the files that they are written in.

    cifar10/moco_v2.yaml is "moco_v2_cifar10"; of a family, a file is several.
    """
    files = sorted(path for path in FOLDER.glob("*/*.yaml") if path.parent.name not in NO_RECIPES)
    members = {name: member.family for name, member in families.members(FOLDER).items()}
    return {f"{path.stem}_{path.parent.name}": path for path in files} | members


def ablations() -> dict[str, Path]:
    """Finds the papers' tables of ablations that come with the package, by name."""
    return {path.stem: path for path in sorted((FOLDER / ABLATIONS).glob("*.yaml"))}
