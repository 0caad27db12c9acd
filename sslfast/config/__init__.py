"""The settings of a run, and how settings are read from a person."""

from sslfast.config.recipe import DataConfig, EncoderConfig, OptimConfig, Recipe, TrainConfig, ViewConfig

__all__ = ["DataConfig", "EncoderConfig", "OptimConfig", "Recipe", "TrainConfig", "ViewConfig"]
