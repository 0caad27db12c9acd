"""What cannot work is refused before training: for every method that it concerns, and before a run is replaced.

A batch of one image is in tests/methods/test_contract.py, patches larger than the view in those of their methods.
"""

import dataclasses

import pytest

from sslfast.commands.pretrain import pretrain
from sslfast.config import EncoderConfig
from sslfast.encoders import Encoder, build_encoder, try_encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.train import step
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS

IMAGES = 64
CUTTING = ("context_prediction", "cpc_v1", "cpc_v2", "fast_moco", "jigsaw", "mncl", "pirl")  # patches


def settings_of(name):
    return {field.name for field in dataclasses.fields(METHODS[name].Config)}


def with_setting(setting):
    return [name for name in sorted(METHODS) if setting in settings_of(name)]


def refused(name, match, *overrides):
    with pytest.raises(UsageError, match=match):
        METHODS[name].check(small_recipe(name, *overrides), IMAGES)


class Pooled(Encoder):
    """An encoder that refuses, as one of timm's does, to give a map of its features."""

    def __init__(self, inner):
        super().__init__()
        self.inner, self.feature_dim = inner, inner.feature_dim

    def forward(self, x, dense=False):
        if dense:
            raise UsageError("encoder.name=pooled: has no map of its features")
        return self.inner(x)


@pytest.mark.parametrize("name", with_setting("queue_size"))
def test_a_queue_that_batches_do_not_fill(name):
    refused(name, "queue_size=40: expected a multiple of the 16 keys of a step; take 48", "method.queue_size=40")


@pytest.mark.parametrize("name", with_setting("clusters"))
def test_more_clusters_than_images(name):
    many = "[4, 65]" if "[" in str(SUBJECTS[name].overrides) else "65"
    refused(name, "method.clusters=65: expected at most .* the 64 images", f"method.clusters={many}")


@pytest.mark.parametrize("name", with_setting("clusters"))
def test_as_many_clusters_as_images_of_which_some_may_be_unreadable(name):
    """Those have no embedding. The seven may all be among the images that are not held out."""
    many = "[4, 64]" if "[" in str(SUBJECTS[name].overrides) else "64"
    settings = (f"method.clusters={many}", "data.val_fraction=0.1", "data.max_bad=0.1")
    refused(name, "clusters=64: expected at most .* the 64 images to train on, less 7 that", *settings)
    METHODS[name].check(small_recipe(name, *settings, "data.on_error=stop"), IMAGES)


def test_more_prototypes_than_images():
    refused("swav", "method.prototypes=65: expected at most .* the 64 images", "method.prototypes=65")


@pytest.mark.parametrize("name", with_setting("noise"))
def test_a_batch_that_leaves_no_noise(name):
    refused(name, "data.batch_size=64: expected fewer than the 64 images", "data.batch_size=64")


@pytest.mark.parametrize("name", sorted(METHODS))
def test_an_encoder_without_a_map(name, tmp_path, monkeypatch):
    """Of those who need one, and nothing is written."""
    monkeypatch.setattr(step, "build_encoder", lambda *args, **kwargs: Pooled(build_encoder(*args, **kwargs)))
    needing = ("context_encoder", "densecl", "jigsaw_clustering", "lewel_b", "lewel_m", "pixpro")
    assert METHODS[name].needs_map == (name in needing)
    if METHODS[name].needs_map:
        with pytest.raises(UsageError, match="encoder.name=pooled: has no map of its features"):
            pretrain(small_recipe(name), tmp_path / "run")
        assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["simclr", *CUTTING])
def test_an_encoder_of_another_size_than_what_it_gets(name, tmp_path, monkeypatch):
    """Than the views, or where they are cut the patches, as a model of timm says it."""
    side = 32 if name in CUTTING else 33

    class Fixed(Pooled):
        def forward(self, x, dense=False):
            assert x.shape[-1] == side, f"Input height doesn't match model ({side})"
            return super().forward(x, dense)

    monkeypatch.setattr(step, "build_encoder", lambda *args, **kwargs: Fixed(build_encoder(*args, **kwargs)))
    with pytest.raises(UsageError, match="resnet18: takes no images of [0-9]+ pixels: Input height"):
        pretrain(small_recipe(name), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_trying_an_encoder_changes_nothing():
    settings = EncoderConfig(stem="cifar", width=0.125)
    encoder = build_encoder(settings)
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    try_encoder(encoder, settings, [16, 24], dense=True)
    assert encoder.training
    assert all(value.equal(before[key]) for key, value in encoder.state_dict().items())
