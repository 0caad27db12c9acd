"""Keys of small batches, for the tests of random numbers and of views."""

import torch

from sslfast.random.key import Key


def make_key(batch=5, seed=3, epoch=2, view=0, start=0):
    return Key(seed, epoch, torch.arange(start, start + batch), view)
