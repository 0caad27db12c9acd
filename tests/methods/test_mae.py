"""MAE against a plain transcription of its paper's section 3, one image at a time."""

import copy

import pytest
import torch

from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.encoders.vit import position_embedding
from sslfast.errors import UsageError
from sslfast.random.key import Stream
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe
from tests.methods.harness import BATCH, SIDE, assert_equals_transcription, build_method, tiny_batch

VIT = EncoderConfig(name="vit_small", width=0.03, patch_size=4, freeze_patch_projection=False)


def build(**settings):
    small = {"decoder_dim": 8, "decoder_depth": 2, "decoder_heads": 2}
    data = DataConfig(size=SIDE, batch_size=BATCH, views=[ViewConfig()])
    return build_method("mae", encoder=VIT, data=data, **{**small, **settings})


def mae(method, batch):
    """Encodes some patches of 4 x 4 pixels; the others' places take the mask token, and the decoder sees all."""
    encoder, decoder, config = method.encoder, method.decoder, method.config
    (view,) = batch.views
    order = batch.key().uniform(Stream.MASK, 16).argsort(dim=1)
    visible = int(16 * (1 - config.masked))
    weight, bias = encoder.conv_proj.weight.flatten(1), encoder.conv_proj.bias
    losses = []
    for image, numbers in zip(view, order.tolist(), strict=True):
        patches = [image[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].flatten() for i in range(4) for j in range(4)]
        positions = position_embedding(4, 4, 12).double()
        tokens = [weight @ patches[n] + bias + positions[n] for n in numbers[:visible]]
        encoded = encoder.ln(encoder.layers(torch.stack([encoder.class_token[0, 0], *tokens])[None]))[0]
        embedded = decoder.embed(encoded)
        full = [decoder.mask_token] * 16
        for n, token in zip(numbers[:visible], embedded[1:], strict=True):
            full[n] = token
        full = torch.stack(full) + position_embedding(4, 4, 8).double()
        rows = decoder.layers(torch.cat([embedded[:1], full])[None])
        predicted = decoder.head(decoder.ln(rows))[0, 1:]
        for n in numbers[visible:]:
            target = patches[n]
            if config.normalize_pixels:
                target = (target - target.mean()) / (target.var() + 1e-6).sqrt()
            losses.append((predicted[n] - target).square().mean())
    return torch.stack(losses).mean()


@pytest.mark.parametrize("settings", [{}, {"masked": 0.5, "normalize_pixels": False}], ids=str)
def test_loss_and_gradients_equal_the_transcription(settings):
    assert_equals_transcription(build(**settings), tiny_batch(1), mae)


def test_each_image_hides_patches_of_its_own_anew_each_epoch():
    method, seen = build(), []
    method.encoder.register_forward_hook(lambda *call: seen.append(call[2]["keep"]), with_kwargs=True)
    for epoch in (0, 0, 1):
        method.loss(tiny_batch(1, epoch=epoch))
    assert seen[0].shape == (BATCH, 4)
    assert len(seen[0].sort(dim=1).values.unique(dim=0)) > 4
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[0], seen[2])


def test_hidden_patches_do_not_reach_the_encoder():
    method, batch = build(), tiny_batch(1)
    keep = batch.key().uniform(Stream.MASK, 16).argsort(dim=1)[:, :4]
    view = batch.views[0]
    changed = copy.deepcopy(view)
    for image, numbers in zip(changed, keep.tolist(), strict=True):
        for n in set(range(16)) - set(numbers):
            i, j = divmod(n, 4)
            image[:, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4] = 0
    encoded = [method.encoder(x, tokens=True, keep=keep) for x in (view, changed)]
    assert encoded[0].shape == (BATCH, 5, 12)
    torch.testing.assert_close(*encoded, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"decoder_dim": 6}, "decoder_dim=6: expected a multiple of 4 and of method.decoder_heads=2"),
        ({"masked": 0.99}, "method.masked=0.99: expected to leave at least one of 16 patches"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)


def test_an_encoder_without_tokens_is_refused():
    message = "encoder.name=resnet18, encoder.colors=rgb: mae hides patches from a ViT; expected one of vit_small"
    with pytest.raises(UsageError, match=message):
        check_recipe(load_recipe("mae_cifar10", ["encoder.name=resnet18"]))


def test_the_recipe_for_imagenet_is_the_papers():
    recipe = load_recipe("mae_imagenet")
    method, optim = recipe.method, recipe.optim
    assert (method.masked, method.normalize_pixels) == (0.75, True)
    assert (method.decoder_dim, method.decoder_depth, method.decoder_heads) == (512, 8, 16)
    assert (optim.name, optim.lr, optim.betas, optim.weight_decay) == ("adamw", 1.5e-4, (0.9, 0.95), 0.05)
    assert (optim.warmup_epochs, recipe.data.batch_size, recipe.encoder.name) == (40, 4096, "vit_base")
