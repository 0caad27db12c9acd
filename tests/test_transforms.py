"""sslfast.transforms.Views: the draws and views of the ops, seeded, in a DataLoader too."""

import copy

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from sslfast import distributed
from sslfast import kernels as K
from sslfast.config import ViewConfig
from sslfast.data.draws.reference import sample_view
from sslfast.errors import UsageError
from sslfast.recipes.presets import PRESETS
from sslfast.transforms import ROWS_OF_RANK, Views

SIZE = 8
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


def images(count=4, height=10, width=12):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(256, (count, 3, height, width), dtype=torch.uint8, generator=generator)


def expected(preset, pixels, number, *, step=0, seed=0, first=0):
    """Runs the op on the draws of a preset's view, of images (B, H, W, 3)."""
    view = ViewConfig(**PRESETS[preset][number])
    index = first + np.arange(len(pixels))
    draws = torch.from_numpy(sample_view(view, seed, step, index, number, *pixels.shape[1:3]).table())
    return K.view_augment(pixels, draws, size=view.size or SIZE, mean=MEAN, std=STD)


def test_views_are_those_of_the_method_and_new_at_each_call():
    views, pixels = Views("byol", size=SIZE, mean=MEAN, std=STD, seed=3), images().movedim(1, -1)
    for step in range(2):
        made = views(images())
        assert len(made) == 2
        for number, view in enumerate(made):
            assert view.shape == (4, 3, SIZE, SIZE)
            torch.testing.assert_close(view, expected("byol", pixels, number, step=step, seed=3))
    again = Views("byol", size=SIZE, mean=MEAN, std=STD, seed=3)
    again.calls = 1
    torch.testing.assert_close(again(pixels), made)  # either layout, and a call that is told its number
    assert not torch.equal(views(images())[0], made[0])


def test_views_have_sizes_settings_and_a_dtype_of_their_own():
    views = Views([{"scale": (1.0, 1.0)}, {"size": 5, "flip": 0.0}], size=SIZE, dtype=torch.bfloat16)
    assert [view.shape[-1] for view in views(images())] == [SIZE, 5]
    assert {view.dtype for view in views(images())} == {torch.bfloat16}
    assert "sizes=[8, 5]" in repr(views)


@pytest.mark.parametrize("channels_last", [False, True])
def test_images_of_several_sizes(channels_last):
    several = [images(1, 9, 7)[0], images(1, 6, 11)[0]]
    several = [image.movedim(0, -1) for image in several] if channels_last else several
    made = Views("simclr", size=SIZE, mean=MEAN, std=STD)(several)
    for row, image in enumerate(several):
        pixels = image[None] if channels_last else image[None].movedim(1, -1)
        torch.testing.assert_close(made[0][row : row + 1], expected("simclr", pixels, 0, first=row))


def test_ranks_draw_differently(monkeypatch):
    monkeypatch.setattr(distributed, "rank", lambda: 2)
    (view,) = Views("instdisc", size=SIZE, mean=MEAN, std=STD)(images())
    pixels = images().movedim(1, -1)
    torch.testing.assert_close(view, expected("instdisc", pixels, 0, first=2 * ROWS_OF_RANK))


class Collate:
    def __init__(self):
        self.views = Views([{"scale": (0.2, 0.5)}], size=SIZE)

    def __call__(self, samples):
        return self.views(torch.stack([image for (image,) in samples]))[0]


def test_workers_and_epochs_draw_differently():
    """Each worker has a copy of the module, which has made as many calls."""
    same = TensorDataset(images(1).expand(4, -1, -1, -1))
    loader = DataLoader(same, batch_size=2, num_workers=2, collate_fn=Collate())
    batches = [batch for _ in range(2) for batch in loader]
    for i, batch in enumerate(batches):
        assert all(not torch.equal(batch, other) for other in batches[:i])


def test_it_can_be_copied_and_moved():
    views = Views("simclr", size=SIZE)
    views(images())
    torch.testing.assert_close(copy.deepcopy(views)(images()), views(images()))
    assert not views.state_dict()


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: Views("simclrr", size=8), UsageError, "Views: no preset 'simclrr'.*did you mean 'simclr'"),
        (lambda: Views([{"blurr": 1}], size=8), UsageError, "Views: .*blurr"),
        (lambda: Views("simclr", size=0), UsageError, "Views: .*size"),
        (lambda: Views("simclr", size=8, seed=-1), ValueError, "Views: expected seed to be a whole .* got -1"),
        (
            lambda: Views("simclr", size=8)(images().float()),
            ValueError,
            r"\(B, 3, H, W\) .* uint8 or uint16, got .*float32",
        ),
        (lambda: Views("simclr", size=8)(images()[:, :2]), ValueError, r"got \(4, 2, 10, 12\), torch.uint8"),
        (lambda: Views("simclr", size=8)([images()]), ValueError, r"\(3, H, W\) or \(H, W, 3\), .* got \(4, 3"),
        (lambda: Views("simclr", size=8)([]), ValueError, "at least one image, got an empty list"),
    ],
)
def test_what_cannot_be_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.parametrize("channels", [1, 5])
def test_images_of_other_channels(channels):
    changes = [{"saturation": 0, "hue": 0, "grayscale": 0}]
    statistics = {"mean": [0.5] * channels, "std": [0.2] * channels}
    pixels = images().repeat(1, 2, 1, 1)[:, :channels]
    (made,) = Views(changes, size=SIZE, seed=3, **statistics)(pixels)
    assert made.shape == (4, channels, SIZE, SIZE)
    (deep,) = Views(changes, size=SIZE, seed=3, **statistics)((pixels.int() * 257).to(torch.uint16))
    torch.testing.assert_close(deep, made, rtol=0, atol=1e-3)
    with pytest.raises(ValueError, match=rf"shape \(B, {channels}, H, W\) or .*got \(4, 3, 10, 12\)"):
        Views(changes, size=SIZE, **statistics)(images())


def test_statistics_and_views_of_other_channels_fit_them():
    with pytest.raises(UsageError, match=r"data.std: expected 1 numbers, .*got \[0.2, 0.2\]"):
        Views("simclr", size=SIZE, mean=[0.5], std=[0.2, 0.2])
    with pytest.raises(UsageError, match="data.channels=2: saturation, hue and grayscale are of red"):
        Views("simclr", size=SIZE, mean=[0.5, 0.5], std=[0.2, 0.2])
