"""What the methods on two views have in common: which changes of a batch change the loss."""

import dataclasses

import pytest
import torch

from tests.methods.harness import build_method, tiny_batch

HEAD = {"dim": 8, "hidden": 16}
METHODS = {
    "align_uniform": HEAD,
    "barlow_twins": HEAD,
    "byol": HEAD,
    "dcl": HEAD,
    "moco_v3": HEAD,
    "nnclr": {**HEAD, "predictor_hidden": 16, "queue_size": 32},
    "simclr": HEAD,
    "simsiam": {**HEAD, "predictor_hidden": 4},
    "supcon": HEAD,
    "vicreg": HEAD,
}


@pytest.fixture(params=sorted(METHODS))
def name(request):
    return request.param


def test_the_order_of_the_images_does_not_matter(name):
    method, data = build_method(name, **METHODS[name]), tiny_batch()
    order = torch.randperm(8, generator=torch.Generator().manual_seed(2))
    views = tuple(view[order] for view in data.views)
    shuffled = dataclasses.replace(data, views=views, label=data.label[order])
    torch.testing.assert_close(method.loss(shuffled)[0], method.loss(data)[0], rtol=1e-4, atol=1e-5)


def test_the_order_of_the_views_does_not_matter(name):
    method, data = build_method(name, **METHODS[name]), tiny_batch()
    swapped = dataclasses.replace(data, views=data.views[::-1])
    torch.testing.assert_close(method.loss(swapped)[0], method.loss(data)[0], rtol=1e-4, atol=1e-5)


def test_which_views_are_of_one_image_does_matter(name):
    method, data = build_method(name, **METHODS[name]), tiny_batch()
    view1, view2 = data.views
    mixed = dataclasses.replace(data, views=(view1, view2.roll(1, 0)))
    assert (method.loss(mixed)[0] - method.loss(data)[0]).abs() > 1e-3


def test_an_asymmetric_simsiam_tells_the_views_apart():
    method, data = build_method("simsiam", symmetric=False, **METHODS["simsiam"]), tiny_batch()
    swapped = dataclasses.replace(data, views=data.views[::-1])
    assert (method.loss(swapped)[0] - method.loss(data)[0]).abs() > 1e-3
