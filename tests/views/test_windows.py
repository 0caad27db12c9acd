"""Windows of two crops, against their corners in the image one by one."""

import pytest
import torch

from sslfast.views import aligned_windows


def boxes(count):
    generator = torch.Generator().manual_seed(0)
    boxes = torch.rand(2, count, 5, generator=generator)
    boxes[..., :2] *= 10
    boxes[..., 2:4] = 10 + 40 * boxes[..., 2:4]
    boxes[..., 4] = boxes[..., 4] < 0.5
    return boxes


def in_image(window, box, side):
    """Finds the window's first and last row and column in the image."""
    (top, left, bottom, right), (y, x, height, width, mirrored) = window.tolist(), box.tolist()
    if mirrored:
        left, right = side - right, side - left
    return [y + top * height / side, x + left * width / side, y + bottom * height / side, x + right * width / side]


@pytest.mark.parametrize(("side", "window", "step", "count"), [(4, 2, 1, 9), (7, 3, 2, 9), (3, 3, 1, 1)])
def test_windows_are_aligned_where_the_image_says_so(side, window, step, count):
    first, second = boxes(20)
    windows, aligned, inside = aligned_windows(first, second, side, window, step)
    assert windows.shape == aligned.shape == (20, count, 4)
    number = (side - window) // step + 1
    corners = [(step * i, step * j) for i in range(number) for j in range(number)]
    assert windows[0].tolist() == [[top, left, top + window, left + window] for top, left in corners]
    for b in range(20):
        y, x, height, width, _ = second[b].tolist()
        for n in range(count):
            place = in_image(windows[b, n], first[b], side)
            assert in_image(aligned[b, n], second[b], side) == pytest.approx(place, abs=1e-3)
            within = place[0] >= y and place[1] >= x and place[2] <= y + height and place[3] <= x + width
            assert inside[b, n] == within
    assert inside.any() or count == 1
    assert not inside.all()


def test_a_crop_and_itself_have_the_same_windows():
    box = boxes(20)[0]
    windows, aligned, inside = aligned_windows(box, box, 5, 2)
    torch.testing.assert_close(aligned, windows.clone(), rtol=0, atol=1e-4)
    assert inside.all()


@pytest.mark.parametrize(("window", "step"), [(5, 1), (0, 1), (2, 0)])
def test_windows_that_do_not_fit_are_refused(window, step):
    with pytest.raises(ValueError, match=rf"a window of 1 to 4 cells, .* got window={window}, step={step}"):
        aligned_windows(*boxes(2), 4, window, step)
