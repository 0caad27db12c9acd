"""SimSiam against plain transcriptions of its paper, the switches of its ablations, and its collapse."""

from itertools import islice

import pytest
import torch
import torch.nn.functional as F

from sslfast.config import DataConfig, OptimConfig, ViewConfig
from sslfast.data import open_source
from sslfast.errors import UsageError
from sslfast.optim.optimizers import build_optimizer
from sslfast.optim.schedules import set_learning_rate
from sslfast.recipes.load import load_recipe
from sslfast.run.directory import RunDirectory
from sslfast.train.trainer import Trainer
from tests.methods.harness import assert_equals_transcription, build_method, tiny_batch

SHORT = [
    "data.limit=512",
    "data.val_fraction=0",
    "data.batch_size=64",
    "data.size=16",
    "encoder.width=0.125",
    "method.dim=64",
    "method.hidden=64",
    "method.predictor_hidden=16",
    "method.norm=hidden",
    "optim.lr=0.4",
    "train.knn_every=0",
    "train.threads=1",
]


def build(**settings):
    return build_method("simsiam", **{"dim": 8, "hidden": 16, "layers": 2, "predictor_hidden": 4, **settings})


def cosine(p, z):
    """Computes equation 1 of Chen and He 2021."""
    return -(p / p.norm(dim=1, keepdim=True) * z / z.norm(dim=1, keepdim=True)).sum(1).mean()


def cross_entropy(p, z):
    """Computes the loss of section 4.5."""
    return -(z.softmax(1) * p.log_softmax(1)).sum(1).mean()


def simsiam(method, data, *, similarity=cosine, stop=torch.Tensor.detach, symmetric=True, predictor=True):
    """Runs algorithm 1 and what section 4 changes of it."""
    z1, z2 = (method.projector(method.encoder(view)) for view in data.views)
    p1, p2 = (method.predictor(z1), method.predictor(z2)) if predictor else (z1, z2)
    if not symmetric:
        return similarity(p1, stop(z2))
    return similarity(p1, stop(z2)) / 2 + similarity(p2, stop(z1)) / 2


def test_two_pairs_of_views_are_asym_2x():
    """Section 4.6: asymmetric, of two pairs sampled for each image."""

    def transcription(method, data):
        z = [method.projector(method.encoder(view)) for view in data.views]
        return (cosine(method.predictor(z[0]), z[1].detach()) + cosine(method.predictor(z[2]), z[3].detach())) / 2

    assert_equals_transcription(build(symmetric=False), tiny_batch(views=4), transcription)


@pytest.mark.parametrize("views", [0, 3])
def test_views_without_a_partner_are_refused(views):
    data = DataConfig(size=16, batch_size=8, views=[ViewConfig()] * views)
    with pytest.raises(UsageError, match=f"data.views: expected pairs of views for simsiam, got {views}"):
        build_method("simsiam", data=data)


def itself(z):
    return z


@pytest.mark.parametrize(
    ("settings", "changes"),
    [
        ({}, {}),
        ({"layers": 3, "norm": "none"}, {}),
        ({"stop_gradient": False}, {"stop": itself}),
        ({"predictor": "none"}, {"predictor": False}),
        ({"predictor": "fixed"}, {}),
        ({"similarity": "cross_entropy"}, {"similarity": cross_entropy}),
        (
            {"similarity": "cross_entropy", "stop_gradient": False},
            {"similarity": cross_entropy, "stop": itself},
        ),
        ({"symmetric": False}, {"symmetric": False}),
    ],
)
def test_loss_and_gradients_equal_the_transcription(settings, changes):
    def transcription(method, data):
        return simsiam(method, data, **changes)

    assert_equals_transcription(build(**settings), tiny_batch(), transcription)


def test_std_is_that_of_the_normalized_embeddings():
    method, data = build(), tiny_batch()
    z = method.projector(method.encoder(data.views[0])).detach()
    _, metrics, _ = method.loss(data)
    torch.testing.assert_close(metrics["std"], F.normalize(z, dim=1).std(0, correction=0).mean())


def layers(network):
    return [type(layer).__name__ for layer in network]


@pytest.mark.parametrize(
    ("norm", "hidden", "projector_output", "predictor_output"),
    [
        ("none", False, False, False),
        ("hidden", True, False, False),
        ("default", True, True, False),
        ("all", True, True, True),
    ],
)
def test_batch_normalization_stands_where_table_3_has_it(norm, hidden, projector_output, predictor_output):
    method = build(norm=norm)
    inner = ["Linear", "BatchNorm1d", "ReLU"] if hidden else ["Linear", "ReLU"]
    assert layers(method.projector) == [*inner, "Linear", *["BatchNorm1d"] * projector_output]
    assert layers(method.predictor) == [*inner, "Linear", *["BatchNorm1d"] * predictor_output]
    if projector_output:
        assert not method.projector[-1].affine


def test_a_fixed_predictor_stays_as_it_is():
    method = build(predictor="fixed")
    method.loss(tiny_batch())[0].backward()
    assert not any(p.requires_grad or p.grad is not None for p in method.predictor.parameters())
    assert all(p.grad is not None for p in method.projector.parameters())


@pytest.mark.parametrize("decay", [False, True])
def test_the_predictors_learning_rate_falls_only_where_asked(decay):
    method = build(predictor_decay=decay)
    optimizer = build_optimizer(method.named_parameters(), OptimConfig(), 256, method.constant_lr)
    set_learning_rate(optimizer, 0.1, 1.0)
    rates = {id(p): group["lr"] for group in optimizer.param_groups for p in group["params"]}
    assert {rates[id(p)] for p in method.encoder.parameters()} == {0.1}
    assert {rates[id(p)] for p in method.projector.parameters()} == {0.1}
    assert {rates[id(p)] for p in method.predictor.parameters()} == {0.1 if decay else 1.0}


@pytest.fixture(scope="module")
def collapse(tmp_path_factory):
    """Gives a function that returns losses and stds of the first 60 steps, every 20, on augmented `shapes`.

    The std of the normalized outputs times the root of their width is 1 where they are spread evenly over the
    sphere, and 0 where all are the same. The projector's output is not normalized, (b) in table 3: where it is, as
    by default, the mean of a batch's outputs is 0 by construction, and a run this short makes no constant of them.
    """
    source = open_source("shapes", limit=512)

    def train(**switches):
        overrides = [f"method.{name}={str(value).lower()}" for name, value in switches.items()]
        recipe = load_recipe("simsiam_cifar10", [*SHORT, *overrides])
        trainer = Trainer(recipe, RunDirectory(tmp_path_factory.mktemp("run")), source)
        values = [trainer.train_step(batch) for batch in islice(trainer.batches(), 61)][::20]
        return [v["loss"].item() for v in values], [v["std"].item() * recipe.method.dim**0.5 for v in values]

    return train


def test_with_stop_gradient_and_predictor_embeddings_stay_apart(collapse):
    losses, stds = collapse()
    assert losses[-1] < -0.7  # it learns
    assert min(stds) > 0.3


@pytest.mark.parametrize("ablation", [{"stop_gradient": False}, {"predictor": "none"}], ids=str)
def test_without_stop_gradient_or_predictor_embeddings_collapse(ablation, collapse):
    """Figure 2 and table 1 (a): the loss reaches its minimum, -1, and the std falls to 0."""
    losses, stds = collapse(**ablation)
    assert stds[0] > 0.6
    assert losses[-1] < -0.99
    assert stds[0] > stds[1] > max(stds[2:])  # collapsed, they hardly move
    assert stds[-1] < 0.1
