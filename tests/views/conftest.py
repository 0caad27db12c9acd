"""Images whose every pixel tells where it comes from, and keys."""

import pytest
import torch

from tests.random.keys import make_key


@pytest.fixture
def places():
    """Gives a function that makes (B, 3, side, side): each pixel's row, column and sample."""

    def make(side, batch=5):
        row = torch.arange(side, dtype=torch.float32)
        return torch.stack(
            [
                torch.stack((row[:, None].expand(side, side), row.expand(side, side), torch.full((side, side), b)))
                for b in range(batch)
            ]
        ).contiguous(memory_format=torch.channels_last)

    return make


@pytest.fixture
def key():
    return make_key
