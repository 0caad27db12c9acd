"""The cases that the methods are run on."""

import pytest
import torch

from sslfast.benchmarks.train.cases import cases, recipe_of
from sslfast.methods import METHODS
from sslfast.recipes.check import check_recipe


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_has_a_recipe_for_every_case(method, device):
    for case in cases(torch.device(device)):
        recipe = recipe_of(method, case)
        check_recipe(recipe)
        METHODS[method].check(recipe, case.num_images)
        encoder = "vit_small" if METHODS[method].needs_tokens else case.encoder
        assert (recipe.encoder.name, recipe.encoder.width) == (encoder, case.width)
        assert (recipe.data.size, recipe.data.batch_size) == (case.size, case.batch_size)
