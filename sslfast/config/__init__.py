"""The settings of a run, and the reading of settings from a person."""

from typing import TYPE_CHECKING

from sslfast.config.recipe import DataConfig, EncoderConfig, OptimConfig, Recipe, TrainConfig, ViewConfig
from sslfast.lazy import moved

__all__ = ["DataConfig", "EncoderConfig", "OptimConfig", "Recipe", "TrainConfig", "ViewConfig"]

if not TYPE_CHECKING:  # to type checkers any name would be one of these
    __getattr__ = moved(
        __name__, {"Config": "sslfast.config:Recipe", "load_config": "sslfast.recipes.load:load_recipe"}
    )
