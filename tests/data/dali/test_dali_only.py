"""The whole augmentation in DALI beside `augment.finish` of the same crops and draws."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

pytest.importorskip("nvidia.dali", reason="NVIDIA DALI is not installed")

from sslfast.config import ViewConfig
from sslfast.data.draws.reference import sample_view
from sslfast.data.sources import Source
from tests.data.photographs import GEOMETRY_ONLY, SEED, assert_equal_batches, loader, photographs

NOTHING = {"jitter": 0.0, "grayscale": 0.0}
NO_STRENGTH = {"brightness": 0.0, "contrast": 0.0, "saturation": 0.0, "hue": 0.0}
JITTER = {**NO_STRENGTH, "jitter": 1.0, "grayscale": 0.0}


def both(source: Source, view: ViewConfig, size: int = 64) -> tuple[Tensor, Tensor]:
    """Makes the views of an epoch in levels: DALI's, and those that `finish` makes."""
    results = []
    for pipeline in ("dali_only", "dali"):
        batches = loader(source, views=[view], size=size, pipeline=pipeline, decodes_only=False).epoch(0)
        results.append(255 * torch.cat([batch.views[0] for batch in batches]))
    return results[0], results[1]


@pytest.mark.parametrize(
    ("changes", "levels"),
    [
        (NOTHING, 1e-3),
        ({**JITTER, "brightness": 0.8}, 0.51),
        ({**JITTER, "contrast": 0.8}, 0.76),
        ({**JITTER, "saturation": 0.8}, 1.01),
        ({"jitter": 0.0, "grayscale": 1.0}, 0.76),
        ({**NOTHING, "blur": 1.0}, 0.76),
        ({**NOTHING, "blur": 1.0, "blur_sigma": (4.0, 5.0)}, 0.76),  # the window cuts the bell off
        ({**NOTHING, "solarize": 1.0}, 1e-3),
    ],
    ids=["none", "brightness", "contrast", "saturation", "grayscale", "blur", "wide blur", "solarize"],
)
def test_each_operation_is_finishs_but_for_rounding(
    tmp_path: Path, changes: dict[str, float], levels: float
) -> None:
    source = photographs(tmp_path)
    actual, expected = both(source, ViewConfig(**changes))  # type: ignore[arg-type]
    torch.testing.assert_close(actual, expected, atol=levels, rtol=0)
    geometry, _ = both(source, GEOMETRY_ONLY)
    assert changes == NOTHING or (actual - geometry).abs().mean() > 1


def test_all_operations_in_the_order_of_each_sample(tmp_path: Path) -> None:
    """Several roundings add up: by the contrast's and saturation's factors they grow, too."""
    view = ViewConfig(brightness=0.8, contrast=0.8, saturation=0.8, hue=0, grayscale=0.3, blur=0.5, solarize=0.3)
    actual, expected = both(photographs(tmp_path, count=40), view)
    difference = (actual - expected).abs()
    assert difference.max() < 5
    assert difference.mean() < 0.6


def yiq_rotated(images: Tensor, turns: Tensor) -> Tensor:
    """Rotates the chroma plane of YIQ: I, Q -> by the angle; Y stays."""
    to_yiq = torch.tensor([[0.299, 0.587, 0.114], [0.596, -0.274, -0.321], [0.211, -0.523, 0.311]])
    angle = 2 * torch.pi * turns
    rotation = torch.eye(3).repeat(len(turns), 1, 1)
    rotation[:, 1, 1] = rotation[:, 2, 2] = angle.cos()
    rotation[:, 1, 2], rotation[:, 2, 1] = angle.sin(), -angle.sin()
    matrix = to_yiq.inverse() @ rotation @ to_yiq
    return torch.einsum("bij,bjhw->bihw", matrix, images).clamp(0, 255)


def test_hue_is_rotated_linearly(tmp_path: Path) -> None:
    source, view = photographs(tmp_path), ViewConfig(**{**JITTER, "hue": 0.1})  # type: ignore[arg-type]
    actual, hsv = both(source, view)
    crops, _ = both(source, GEOMETRY_ONLY)
    index = torch.cat([batch.index for batch in loader(source).epoch(0)])
    turns = torch.from_numpy(sample_view(view, SEED, 0, index.numpy(), 0, 1, 1).hue)
    torch.testing.assert_close(actual, yiq_rotated(crops, turns), atol=2, rtol=0)
    assert 1 < (actual - hsv).abs().mean() < 12  # what the docstring warns of
    assert ((actual - crops) * (hsv - crops)).mean() > 0  # but in the same direction


def test_normalized_as_a_training_step_takes_it(tmp_path: Path) -> None:
    source, colors = photographs(tmp_path), {"mean": (0.4, 0.5, 0.6), "std": (0.2, 0.3, 0.1)}
    views = [GEOMETRY_ONLY, GEOMETRY_ONLY, ViewConfig(size=16, jitter=0, grayscale=0)]
    batch = next(loader(source, pipeline="dali_only", views=views, **colors).epoch(0))
    expected = next(loader(source, views=views, decodes_only=False, **colors).epoch(0))
    assert [view.shape[2] for view in batch.views] == [24, 24, 16]
    for view, other in zip(batch.views, expected.views, strict=True):
        assert view.dtype == torch.float32
        assert view.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(view, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("start", [0, 2])
def test_resumed_epoch_is_the_tail_of_the_whole(tmp_path: Path, start: int) -> None:
    source = photographs(tmp_path)
    changes = {"pipeline": "dali_only", "views": [ViewConfig(blur=0.5, solarize=0.5)] * 2}
    tail = list(loader(source, workers=1, **changes).epoch(5, start))
    assert_equal_batches(tail, list(loader(source, workers=3, **changes).epoch(5))[start:])
