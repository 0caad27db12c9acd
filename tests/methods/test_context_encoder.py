"""Context encoders against a plain transcription of their paper's section 3 and the published code."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.recipes.load import load_recipe
from sslfast.views import inpainting_regions
from tests.methods.harness import BATCH, SIDE, assert_equals_transcription, build_method, tiny_batch


def build(size=SIDE, **settings):
    data = DataConfig(size=size, batch_size=BATCH, views=[ViewConfig()])
    return build_method("context_encoder", data=data, **{"decoder_dim": 4, "overlap": 1, **settings})


def context_encoder(method, batch):
    """Weighs the squared errors of each image's pixels, one by one: 1 of those hidden, 10 of the frame's."""
    config, (view,) = method.config, batch.views
    hidden, predicted = inpainting_regions(batch.key(), SIDE, config.region, config.overlap)
    seen = torch.where(hidden[:, None], 0.0, view)
    features = method.encoder(seen, dense=True)  # [B, 64, 2, 2]
    channels, mix, *ups = method.decoder
    spread = torch.einsum("bcp,cpq->bcq", features.flatten(2), channels.weight) + channels.bias
    x = F.conv2d(spread.view_as(features), mix.weight)
    for layer in ups:
        x = layer(x)
    assert x.shape == view.shape
    losses = []
    for b in range(BATCH):
        terms = []
        for i, j in predicted[b].nonzero().tolist():
            error = ((x[b, :, i, j] - view[b, :, i, j]) ** 2).mean()
            terms.append(error if hidden[b, i, j] else config.overlap_weight * error)
        losses.append(torch.stack(terms).mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("settings", [{}, {"region": "center"}, {"overlap": 0}, {"overlap_weight": 3.0}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(1), context_encoder)


def test_hidden_pixels_do_not_reach_the_encoder():
    method, batch = build(), tiny_batch(1)
    seen = []
    method.encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    method.loss(batch)
    hidden, _ = inpainting_regions(batch.key(), SIDE, "blocks", 1)
    batch.views[0][:] = torch.where(hidden[:, None], 7.0, batch.views[0])
    method.loss(batch)
    torch.testing.assert_close(*seen, rtol=0, atol=0)


def test_the_frame_is_a_32nd_of_the_view():
    batch = tiny_batch(1, side=64)
    losses = [build(64, overlap=overlap).loss(batch)[0] for overlap in (None, 2)]
    torch.testing.assert_close(*losses, rtol=0, atol=0)


def test_views_that_the_map_does_not_divide_are_painted_whole():
    batch = tiny_batch(1, side=20)
    method = build(20)
    assert method.decoder(method.encoder(batch.views[0], dense=True)).shape == (BATCH, 3, 20, 20)
    assert method.loss(batch)[0].isfinite()


def test_the_decoder_is_that_of_the_published_code():
    """From 4 x 4 places on: 512, 256, 128 and 64 channels for a view of 64 pixels."""
    method = build_method(
        "context_encoder",
        encoder=EncoderConfig(stem="imagenet", width=0.125),
        data=DataConfig(size=64, batch_size=BATCH, views=[ViewConfig()]),
    )
    ups = [layer for layer in method.decoder if isinstance(layer, torch.nn.ConvTranspose2d)]
    assert [layer.in_channels for layer in ups] == [512, 512, 256, 128, 64]
    assert ups[-1].out_channels == 3
    assert [layer.bias is not None for layer in ups] == [False] * 4 + [True]


def test_a_frame_that_leaves_nothing_to_hide_is_refused():
    message = "context_encoder, views of 16 pixels: .* a frame of 0 to 3, got 16 pixels and overlap=4"
    with pytest.raises(UsageError, match=message):
        build(overlap=4)


def test_the_recipe_for_imagenet_has_the_numbers_of_the_paper_and_its_code():
    recipe = load_recipe("context_encoder_imagenet")
    method, optim = recipe.method, recipe.optim
    assert (method.overlap, method.overlap_weight, method.decoder_dim) == (7, 10, 64)
    assert (optim.name, optim.betas, optim.weight_decay) == ("adamw", (0.5, 0.999), 0)
    assert optim.lr * recipe.data.batch_size / 256 == pytest.approx(0.002)
