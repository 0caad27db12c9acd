"""Methods on images of other channels than three: all that read no colors take a step of two channels."""

import numpy as np
import pytest
import torch
from torch import nn

from sslfast.data import Source, open_source
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS

RGB_ONLY = ("cmc", "exemplar")
CHANNELS = 2


@pytest.mark.parametrize("name", [name for name in SUBJECTS if name not in RGB_ONLY])
def test_a_step_of_two_channels(name, tmp_path):
    recipe = small_recipe(name)
    settings = [f"data.channels={CHANNELS}", "data.mean=[0.5, 0.4]", "data.std=[0.2, 0.3]"]
    keys = ("saturation", "hue", "grayscale")
    settings += [f"data.views.{number}.{key}=0" for number in range(len(recipe.data.views)) for key in keys]
    if hasattr(recipe.method, "drop_colors"):
        settings.append("method.drop_colors=0")
    recipe = load_recipe(recipe, settings)
    check_recipe(recipe)
    rgb = open_source("shapes", limit=recipe.data.limit)
    source = Source(
        "bands", images=np.ascontiguousarray(rgb.images[..., :CHANNELS]), labels=rgb.labels, classes=rgb.classes
    )
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), source)
    trainer.method.start_epoch(0, trainer.embed)
    batch = next(iter(trainer.loader.epoch(SUBJECTS[name].epoch)))
    assert {view.shape[1] for view in batch.views} == {CHANNELS}
    loss, _, _ = trainer.method.loss(batch)
    assert torch.isfinite(loss)
    first = next(part for part in trainer.method.encoder.modules() if isinstance(part, nn.Conv2d))
    assert first.weight.shape[1] == CHANNELS
    assert METHODS[name].colors_read(recipe) is None
