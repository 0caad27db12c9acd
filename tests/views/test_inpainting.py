"""What inpainting hides of views, and what is predicted of them."""

import pytest
import torch

from sslfast.views import Key, inpainting_regions


def key(count, epoch=0):
    return Key(0, epoch, torch.arange(count))


def test_the_center_is_predicted_and_hidden_but_for_its_frame():
    hidden, predicted = inpainting_regions(key(2), 16, "center", 2)
    expected = torch.zeros(2, 2, 16, 16, dtype=torch.bool)
    expected[0, :, 6:10, 6:10] = True
    expected[1, :, 4:12, 4:12] = True
    assert torch.equal(torch.stack([hidden, predicted]), expected)


@pytest.mark.parametrize("side", [16, 32, 40])
def test_blocks_hide_a_quarter_and_the_frame_lies_around_them(side):
    hidden, predicted = inpainting_regions(key(50), side, "blocks", 1)
    assert hidden.shape == predicted.shape == (50, side, side)
    assert (hidden.float().mean((1, 2)) - 0.25).abs().max() < 0.06
    for here, there in zip(hidden, predicted, strict=True):
        near = torch.nn.functional.pad(here, (1, 1, 1, 1)).unfold(0, 3, 1).unfold(1, 3, 1).any(3).any(2)
        assert torch.equal(there, near)
    assert len(hidden.flatten(1).unique(dim=0)) == 50


def test_without_a_frame_what_is_hidden_is_predicted():
    for form in ("center", "blocks"):
        hidden, predicted = inpainting_regions(key(4), 32, form, 0)
        assert torch.equal(hidden, predicted)


def test_blocks_are_a_function_of_the_sample_and_the_epoch():
    hidden, _ = inpainting_regions(key(8), 32, "blocks", 1)
    few = inpainting_regions(Key(0, 0, torch.arange(4, 8)), 32, "blocks", 1)[0]
    assert torch.equal(few, hidden[4:])
    assert not torch.equal(inpainting_regions(key(8, epoch=1), 32, "blocks", 1)[0], hidden)


@pytest.mark.parametrize(("side", "overlap"), [(16, 4), (16, -1), (3, 0)])
def test_frames_that_do_not_fit_are_refused(side, overlap):
    with pytest.raises(ValueError, match=f"inpainting_regions: .* got {side} pixels and overlap={overlap}"):
        inpainting_regions(key(2), side, "center", overlap)
