"""Masks of patches in blocks: how many they hide, and that they hide neighbors."""

import torch

from sslfast.views import Key, block_mask

SIDE = 14


def key(count, epoch=0):
    return Key(0, epoch, torch.arange(count))


def test_a_mask_hides_its_share_of_the_patches():
    masks = block_mask(key(500), SIDE, (0.1, 0.5))
    assert masks.shape == (500, 196)
    assert masks.dtype == torch.bool
    hidden = masks.sum(1)
    assert hidden.min() >= 19
    assert hidden.max() <= 98
    assert abs(hidden.float().mean() - 0.3 * 196) < 4
    assert block_mask(key(500), SIDE, (0.25, 0.25)).sum(1).eq(49).all()


def test_some_samples_have_none():
    masked = block_mask(key(500), SIDE, (0.1, 0.5), 0.5).any(1)
    assert 200 < masked.sum() < 300
    assert not block_mask(key(8), SIDE, (0.1, 0.5), 0.0).any()


def test_hidden_patches_are_neighbors():
    """Most have a hidden one to their right, many more than where single patches are hidden."""
    masks = block_mask(key(200), SIDE, (0.3, 0.3)).view(-1, SIDE, SIDE)
    pairs = (masks[:, :, 1:] & masks[:, :, :-1]).sum() / masks[:, :, :-1].sum()
    assert pairs > 0.6  # 0.3 of single ones


def test_every_place_is_hidden_as_often_as_its_mirror_images():
    often = block_mask(key(4000), SIDE, (0.3, 0.3)).float().mean(0).view(SIDE, SIDE)
    assert often.min() > 0.01  # in the corners
    for mirrored in (often.flip(0), often.flip(1), often.T):
        assert (often - mirrored).abs().max() < 0.06


def test_masks_are_a_function_of_the_sample_and_the_epoch():
    masks = block_mask(key(8), SIDE, (0.3, 0.3))
    assert torch.equal(block_mask(Key(0, 0, torch.arange(4, 8)), SIDE, (0.3, 0.3)), masks[4:])
    assert not torch.equal(block_mask(key(8, epoch=1), SIDE, (0.3, 0.3)), masks)
    assert len(masks.unique(dim=0)) == 8
