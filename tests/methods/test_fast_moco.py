"""Fast-MoCo against a plain transcription of its split, encode, combine and of its loss."""

import copy
from dataclasses import replace
from math import comb

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, EncoderConfig
from sslfast.errors import UsageError
from sslfast.methods.fast_moco import combined_features
from tests.methods.combined_patches import SMALL, combined
from tests.methods.harness import KEEP, after_step, build_method, tiny_batch


def build(**settings):
    return build_method("fast_moco", **{**SMALL, **settings})


def transcription(method):
    """Returns the losses of all pairs of a combination and a whole view, in both directions; and the networks."""
    encoder, projector, predictor = copy.deepcopy((method.encoder, method.projector, method.predictor))
    target = copy.deepcopy(method.target.module)
    view1, view2 = tiny_batch(dtype=torch.float64).views
    terms = []
    for view, other in ((view1, view2), (view2, view1)):
        features = combined(encoder, view, method.config.combine)
        z = F.normalize(target(other), dim=1).detach()
        for p in predictor(projector(torch.cat(features))).split(len(view)):
            logits = F.normalize(p, dim=1) @ z.T / method.config.temperature
            terms.append(F.cross_entropy(logits, torch.arange(len(view))))
    return torch.stack(terms), torch.nn.Sequential(encoder, projector, predictor)


@pytest.mark.parametrize(("combine", "temperature"), [(1, 1.0), (2, 0.2), (3, 1.0), (4, 1.0)])
def test_loss_and_gradients_equal_the_transcription(combine, temperature):
    method = build(combine=combine, temperature=temperature).double()
    terms, networks = transcription(method)
    assert len(terms) == 2 * comb(4, combine)
    terms.mean().backward()
    loss, *_ = method.loss(tiny_batch(dtype=torch.float64))
    loss.backward()
    torch.testing.assert_close(loss, terms.mean())
    trained = torch.nn.Sequential(method.encoder, method.projector, method.predictor)
    for ours, theirs in zip(trained.parameters(), networks.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    assert all(p.grad is None for p in method.target.parameters())


@pytest.mark.parametrize("first", [2048, 512])
@pytest.mark.parametrize("name", ["fast_moco", "mncl"])
def test_the_heads_are_those_of_the_papers(name, first):
    """MNCL, section 4.1: three normalized layers, the first two with ReLU; then a bottleneck.

    "Sizes [512, 2048, 2048]" are those of an input of 512 and of what follows, or the output widths of the layers.
    """
    method = build_method(name, **({} if first == 2048 else {"first_hidden": first}))
    projector, predictor = (
        [(type(layer).__name__, *getattr(layer, "weight", torch.empty(0)).shape) for layer in head]
        for head in (method.projector, method.predictor)
    )
    norm, relu = ("BatchNorm1d", 2048), ("ReLU", 0)
    begin = [("Linear", first, method.encoder.feature_dim), ("BatchNorm1d", first), relu, ("Linear", 2048, first)]
    assert projector == [*begin, norm, relu, ("Linear", 2048, 2048), norm]
    assert predictor == [("Linear", 512, 2048), ("BatchNorm1d", 512), relu, ("Linear", 2048, 512)]


def test_combinations_are_means_of_patches_each_after_the_other():
    view = tiny_batch().views[0]
    pixels = torch.nn.Flatten()  # "features" that show which patch they are of
    for k in range(1, 5):
        expected = torch.cat(combined(pixels, view, k))
        torch.testing.assert_close(combined_features(pixels, view, k), expected)


def test_the_order_of_views_and_of_images_does_not_matter():
    method, batch = build().double(), tiny_batch(dtype=torch.float64)
    order = torch.randperm(len(batch.index), generator=torch.Generator().manual_seed(0))
    loss, *_ = method.loss(batch)
    swapped, *_ = method.loss(replace(batch, views=batch.views[::-1]))
    permuted, *_ = method.loss(replace(batch, views=tuple(view[order] for view in batch.views)))
    torch.testing.assert_close(swapped, loss)
    torch.testing.assert_close(permuted, loss)


def test_the_target_follows_encoder_and_projector():
    method = build()
    *_, kept = method.loss(tiny_batch())
    before = copy.deepcopy(method.target.module)
    trained = [*method.encoder.parameters(), *method.projector.parameters()]
    with torch.no_grad():
        for p in trained:
            p.add_(1.0)  # an optimizer's step
    after_step(method, kept, 0, 1, KEEP)
    for now, old, source in zip(method.target.parameters(), before.parameters(), trained, strict=True):
        torch.testing.assert_close(now, 0.9 * old + 0.1 * source)


def test_a_rising_momentum_ends_at_one():
    method = build(momentum=0.5, momentum_schedule="cosine")
    before = copy.deepcopy(method.target.state_dict())
    with torch.no_grad():
        for p in method.encoder.parameters():
            p.add_(1.0)
    after_step(method, None, 10, 10, KEEP)
    torch.testing.assert_close(method.target.state_dict(), before, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["fast_moco", "mncl"])
def test_views_that_cannot_be_halved_are_refused(name):
    message = f"{name}, views of 33 pixels: divide: .* into 2 equal parts .*; take images of 32 pixels"
    with pytest.raises(UsageError, match=message):
        build_method(name, data=DataConfig(size=33, batch_size=8))


@pytest.mark.parametrize("name", ["fast_moco", "mncl"])
def test_halves_that_the_encoder_cannot_take_are_refused(name):
    with pytest.raises(UsageError, match=f"{name}, patches: .* expected more than 4 pixels a side, .* got 4 x 4"):
        build_method(name, data=DataConfig(size=8, batch_size=8))
    vit = EncoderConfig(name="vit_small", patch_size=8)
    with pytest.raises(UsageError, match=f"{name}, patches: encoder.patch_size=8: .* multiples of it, got 12 "):
        build_method(name, encoder=vit, data=DataConfig(size=24, batch_size=8))
