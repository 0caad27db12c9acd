"""The vision transformers against torchvision's, and what MoCo v3 changes in them."""

import math

import pytest
import torch
from torchvision.models import VisionTransformer

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.encoders.vit import VITS, position_embedding
from sslfast.errors import UsageError
from sslfast.recipes.check import check_recipe
from sslfast.recipes.load import load_recipe


def build(**settings):
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(**{"name": "vit_small", "width": 0.125, "patch_size": 4, **settings}))


def torchvisions(encoder, side):
    """Builds torchvision's transformer with the weights of ours, and its positions those of MoCo v3."""
    model = VisionTransformer(side, encoder.patch_size, 12, 12, encoder.feature_dim, 4 * encoder.feature_dim)
    patches = side // encoder.patch_size
    positions = position_embedding(patches, patches, encoder.feature_dim)
    weights = {
        key.replace("layers.", "encoder.layers.encoder_layer_").replace(
            "ln.", "encoder.ln.", key.startswith("ln")
        ): v
        for key, v in encoder.state_dict().items()
    }
    weights["encoder.pos_embedding"] = torch.cat([torch.zeros(1, encoder.feature_dim), positions])[None]
    model.heads = torch.nn.Identity()
    model.load_state_dict(weights)
    return model


def test_equals_torchvisions_with_its_weights():
    encoder, images = build(), torch.randn(2, 3, 16, 16)
    model = torchvisions(encoder, side=16)
    torch.testing.assert_close(encoder(images), model(images))
    torch.testing.assert_close(encoder.eval()(images), model.eval()(images))


def test_the_map_holds_the_patches_where_they_are():
    """Without its blocks each patch is by itself: projected, at its position, normalized."""
    encoder = build()
    encoder.layers = torch.nn.Identity()
    images = torch.randn(2, 3, 8, 12)
    dense = encoder(images, dense=True)
    assert dense.shape == (2, 48, 2, 3)
    positions = position_embedding(2, 3, 48).view(2, 3, 48)
    for i in range(2):
        for j in range(3):
            patch = images[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].flatten(1)
            token = patch @ encoder.conv_proj.weight.flatten(1).T + encoder.conv_proj.bias + positions[i, j]
            torch.testing.assert_close(dense[:, :, i, j], encoder.ln(token))


def test_features_are_the_class_token_or_the_mean_of_the_map():
    images = torch.randn(2, 3, 8, 12)
    by_class, by_mean = build(), build(pool="mean")
    torch.testing.assert_close(by_mean(images), by_class(images, dense=True).mean(dim=(2, 3)))
    torch.testing.assert_close(by_class(images), by_class(images, tokens=True)[:, 0])


def test_positions_are_those_of_the_formula():
    dim, height, width = 24, 3, 5
    positions = position_embedding(height, width, dim).view(height, width, dim)
    frequencies = [10000 ** (-k / 6) for k in range(6)]
    for i in range(height):
        for j in range(width):
            expected = [wave(x * f) for x in (i, j) for wave in (math.sin, math.cos) for f in frequencies]
            torch.testing.assert_close(positions[i, j], torch.tensor(expected))


def test_positions_tell_patches_apart():
    encoder, images = build().eval(), torch.randn(1, 3, 16, 16)
    swapped = torch.cat([images[..., 8:], images[..., :8]], dim=-1)
    assert not torch.allclose(encoder(images), encoder(swapped), atol=1e-3)


@pytest.mark.parametrize(("name", "parameters"), [("vit_small", 21_590_016), ("vit_base", 85_647_360)])
def test_sizes_are_the_papers(name, parameters):
    with torch.device("meta"):
        encoder = build_encoder(EncoderConfig(name=name))
    assert encoder.feature_dim == VITS[name]
    assert sum(p.numel() for p in encoder.parameters()) == parameters
    assert [block.num_heads for block in encoder.layers] == 12 * [12]


def test_width_scales_the_tokens():
    assert build(width=0.5).feature_dim == 192
    assert build(width=0.01).feature_dim == 12  # a channel for each head, at least


@pytest.mark.parametrize("freeze", [True, False])
def test_only_the_patch_projection_may_be_frozen(freeze):
    encoder = build(freeze_patch_projection=freeze)
    encoder(torch.randn(2, 3, 16, 16)).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert (parameter.grad is None) == (freeze and name.startswith("conv_proj.")), name


def test_weights_start_as_in_moco_v3():
    encoder = build(patch_size=16)
    bounds = {
        "conv_proj.weight": math.sqrt(6 / (3 * 16 * 16 + 48)),
        "layers.3.self_attention.in_proj_weight": math.sqrt(6 / (48 + 48)),
        "layers.3.self_attention.out_proj.weight": math.sqrt(6 / (48 + 48)),
        "layers.3.mlp.0.weight": math.sqrt(6 / (48 + 4 * 48)),
    }
    weights = encoder.state_dict()
    for name, bound in bounds.items():
        torch.testing.assert_close(weights[name].std().item(), bound / math.sqrt(3), rtol=0.05, atol=0)
        assert weights[name].abs().max() <= bound
    assert not any(value.any() for name, value in weights.items() if name.endswith("bias"))
    assert 0 < weights["class_token"].abs().max() < 1e-5


def test_autocast_keeps_the_tokens_in_fp32():
    encoder, images = build(), torch.randn(2, 3, 16, 16)
    seen = []
    encoder.layers[0].register_forward_pre_hook(lambda _module, inputs: seen.append(inputs[0].dtype))
    with torch.autocast("cpu", torch.bfloat16):
        encoder(images)
    assert seen == [torch.float32]
    assert build().double()(images.double()).dtype == torch.float64


def test_images_that_patches_do_not_tile_are_refused():
    with pytest.raises(UsageError, match="encoder.patch_size=4: .*multiples of it, got 18 pixels"):
        build()(torch.randn(2, 3, 16, 18))


@pytest.mark.parametrize("override", ["data.size=36", "data.views.1.size=36"])
def test_they_are_refused_before_training(override):
    recipe = ["encoder.name=vit_small", "encoder.patch_size=8", "data.size=32", override]
    with pytest.raises(UsageError, match="encoder.patch_size=8: .*got 36 pixels"):
        check_recipe(load_recipe("moco_v2_shapes", recipe))
    check_recipe(load_recipe("moco_v2_shapes", recipe[:-1]))
