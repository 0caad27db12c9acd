"""Methods small enough for tests, and batches for them."""

import copy
import dataclasses

import torch

from sslfast.config import DataConfig, EncoderConfig, Recipe
from sslfast.data import Batch
from sslfast.encoders import build_encoder
from sslfast.methods import METHODS
from sslfast.recipes.check import check_sides

KEEP, SKIP = torch.tensor(False), torch.tensor(True)
BATCH, IMAGES, SIDE = 8, 64, 16
IMAGE_SET = torch.randn(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(5))
TINY = EncoderConfig(stem="cifar", width=0.125)


def build_method(name, *, encoder=TINY, data=None, images=IMAGES, **settings):
    """Builds a method on a small encoder, freshly initialized from seed 0, for batches of 8 of 64 images."""
    torch.manual_seed(0)
    data = data or DataConfig(size=SIDE, batch_size=BATCH)
    method = METHODS[name]
    recipe = Recipe(method=method.Config(name=name, **settings), encoder=encoder, data=data)
    check_sides(recipe)
    method.check(recipe, images)
    return method(recipe, build_encoder(encoder), images)


def tiny_batch(views=2, size=BATCH, side=SIDE, *, seed=1, epoch=0, classes=4, dtype=torch.float32):
    """Draws random views of the images 0 to size - 1."""
    generator = torch.Generator().manual_seed(seed)
    pixels = tuple(torch.randn(size, 3, side, side, generator=generator).to(dtype) for _ in range(views))
    index = torch.arange(size)
    places = torch.rand(views, size, 4, generator=generator).to(dtype)  # after the pixels, which stay as they were
    corner, extent, mirrored = 10 * places[:, :, :2], 10 + 20 * places[:, :, 2:], places[:, :, :1] < 0.3
    boxes = tuple(torch.cat([corner, extent, mirrored], dim=2))
    return Batch(views=pixels, index=index, label=index % classes, seed=0, epoch=epoch, boxes=boxes)


def embed(network, num_readable=IMAGES):
    """Embeds, as the trainer does, a fixed set of images of which the last cannot be read."""
    mode = network.training
    network.eval()
    with torch.no_grad():
        outputs = network(IMAGE_SET[:num_readable])
    network.train(mode)
    return outputs, torch.arange(num_readable)


def assert_equals_transcription(method, data, transcription):
    """Asserts that loss and gradients are those of `transcription(a copy of the method, data)`, in fp64."""
    method.double()
    data = dataclasses.replace(data, views=tuple(view.double() for view in data.views))
    twin = copy.deepcopy(method)
    expected = transcription(twin, data)
    expected.backward()
    loss, *_ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    for (name, ours), theirs in zip(method.named_parameters(), twin.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None:
            torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-6, atol=1e-9, msg=name)


def after_step(method, kept, step, total_steps, skip):
    """Moves the momentum network, as the trainer's optimizer does in its step, then what the method moves."""
    if (momentum_copy := method.momentum_copy()) is not None:
        momentum_copy.update(method.momentum(step, total_steps), skip=skip)
    method.after_step(kept, step, total_steps, skip)
