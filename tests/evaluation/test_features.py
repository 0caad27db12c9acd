from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast.benchmarks.measure.memory import extra_memory
from sslfast.config import DataConfig, EncoderConfig
from sslfast.data import Source, eval_batches, open_source
from sslfast.encoders import Encoder, build_encoder
from sslfast.errors import UsageError
from sslfast.evaluation.features import features, labeled_features

CPU = torch.device("cpu")
DATA = DataConfig(size=16)


@pytest.fixture
def encoder() -> Encoder:
    torch.manual_seed(0)
    return build_encoder(EncoderConfig(stem="cifar", width=0.125))


def pictures(n: int) -> Source:
    images = np.random.default_rng(0).integers(0, 256, (n, 16, 16, 3), dtype=np.uint8)
    return Source("pictures", images=images, labels=np.arange(n) % 3, classes=["a", "b", "c"])


def test_are_the_encoders_outputs_in_evaluation_mode(encoder: Encoder) -> None:
    source = pictures(10)
    x, kept = features(encoder, source, DATA, CPU, batch_size=4)
    images = torch.cat([images for images, _ in eval_batches(source, 16, DATA, 10, CPU)])
    with torch.no_grad():
        expected = encoder.eval()(images)
    torch.testing.assert_close(x, expected)
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert kept.tolist() == list(range(10))


@pytest.mark.parametrize("training", [True, False])
def test_leave_the_encoder_as_it_was(encoder: Encoder, training: bool) -> None:
    encoder.train(training)
    encoder.get_submodule("layer1").train(not training)
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    modes = [module.training for module in encoder.modules()]
    features(encoder, pictures(5), DATA, CPU)
    assert [module.training for module in encoder.modules()] == modes
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, before[name]), name
        assert value.stride() == before[name].stride(), name
        assert value.requires_grad == before[name].requires_grad


def test_compile_nothing(encoder: Encoder) -> None:
    """Neither the encoder nor a network that it is a part of; and what is compiled stays so."""
    compiled = []
    encoder.compile(backend=lambda graph, inputs: compiled.append(graph) or graph.forward)
    for network in (encoder, nn.Sequential(encoder, nn.Linear(encoder.feature_dim, 2))):
        features(network, pictures(5), DATA, CPU, batch_size=4)
    assert not compiled
    encoder(torch.zeros(2, 3, 16, 16))
    assert compiled


def test_restore_the_mode_after_an_error(encoder: Encoder) -> None:
    network = nn.Sequential(encoder, nn.Linear(1, 1)).train()
    with pytest.raises(RuntimeError, match="shapes"):
        features(network, pictures(5), DATA, CPU)
    assert all(module.training for module in network.modules())


def test_labels_stay_with_their_images_when_one_cannot_be_read(encoder: Encoder, tmp_path: Path) -> None:
    source = pictures(9)
    for i in range(9):
        folder = tmp_path / source.classes[i % 3]
        folder.mkdir(exist_ok=True)
        source.image(i).save(folder / f"{i}.png")
    (tmp_path / "a" / "3.png").write_bytes(b"no image")
    files = open_source(str(tmp_path), max_bad=0.5)

    x, labels = labeled_features(encoder, files, DATA, CPU)
    assert labels.tolist() == [0, 0, 1, 1, 1, 2, 2, 2]
    whole, _ = features(encoder, source, DATA, CPU)
    torch.testing.assert_close(x, whole[[0, 6, 1, 4, 7, 2, 5, 8]])


def test_no_readable_image_is_an_error(encoder: Encoder, tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match="0.png|read"):
        features(encoder, open_source(str(tmp_path), max_bad=1.0), DATA, CPU)


def test_bf16_rounds_features_and_no_weight(encoder: Encoder) -> None:
    """In bf16 the arithmetic, or what is kept of it."""
    source = pictures(10)
    exact, _ = features(encoder, source, DATA, CPU)
    computed, _ = features(encoder, source, DATA, CPU, compute_dtype=torch.bfloat16)
    kept, _ = features(encoder, source, DATA, CPU, dtype=torch.bfloat16)
    assert computed.dtype == torch.float32
    assert not torch.equal(computed, exact)
    assert F.cosine_similarity(computed, exact).min() > 0.999
    assert torch.equal(kept, exact.bfloat16())
    wrapped, _ = features(nn.Sequential(encoder), source, DATA, CPU, compute_dtype=torch.bfloat16)
    assert F.cosine_similarity(wrapped, exact).min() > 0.999  # by autocast
    assert all(parameter.dtype == torch.float32 for parameter in encoder.parameters())


class Wide(nn.Module):
    """Many features of an image, at no cost."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.mean(dim=(1, 2, 3))[:, None] * torch.ones(2048)


def test_what_is_kept_is_held_once() -> None:
    source = Source("pictures", images=np.zeros((20_000, 8, 8, 3), dtype=np.uint8))
    data, held = DataConfig(size=8), 20_000 * 2048 * 2

    def embed() -> None:
        features(Wide(), source, data, CPU, dtype=torch.bfloat16)

    embed()  # what the first call loads
    extra = extra_memory(embed, CPU)
    if extra is None:
        pytest.skip("the peak of memory cannot be read here")
    assert held <= extra < 1.3 * held
