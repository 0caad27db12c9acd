"""CPC v1 and v2 against a plain transcription of InfoNCE over all places of a batch."""

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F

from sslfast import views
from sslfast.config import DataConfig, EncoderConfig, ViewConfig
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.methods.cpc_v1 import ContextBlock, _patches
from sslfast.views import Key
from tests.methods.harness import build_method, tiny_batch

LAYER = EncoderConfig(stem="cifar", width=0.125, norm="layer")
KEY = Key(0, 0, torch.arange(2))
# 3 x 3 patches of 16 pixels, half a patch apart.
GRID = {"patch": 16, "context_blocks": 2, "context_width": 8, "first_step": 1, "last_step": 2}


def build(name="cpc_v1", *, encoder=LAYER, **settings):
    data = DataConfig(size=32, batch_size=2, views=[ViewConfig()])
    return build_method(name, data=data, encoder=encoder, **{**GRID, **settings})


def batch():
    return tiny_batch(views=1, size=2, side=32)


# Where row i and column j of a turned grid lie in the grid, so that predictions go down, left, up, right.
TURNED = [lambda i, j: (i, j), lambda i, j: (j, 2 - i), lambda i, j: (2 - i, 2 - j), lambda i, j: (2 - j, i)]


def transcription(method, data):
    """Computes the loss of one place, step and direction after the other."""
    config = method.config
    patches = _patches(config, data.views[0], data.key())
    z = torch.stack([method.encoder(sample) for sample in patches]).view(len(patches), 3, 3, -1)
    targets = method.target(z)
    everywhere = targets.flatten(0, 2)
    losses, hits = [], []
    for direction in range(config.directions):
        place = TURNED[direction * 4 // config.directions]
        turned = torch.stack(
            [torch.stack([z[(slice(None), *place(i, j))] for j in range(3)], 1) for i in range(3)], 1
        )
        context = method.directions[direction].context(turned.permute(0, 3, 1, 2))
        for k, predict in enumerate(method.directions[direction].maps, config.first_step):
            terms = []
            for b in range(len(patches)):
                for i in range(3 - k):
                    for j in range(3):
                        logits = everywhere @ predict(context[b, :, i, j]) / config.temperature
                        row, column = place(i + k, j)
                        target = b * 9 + row * 3 + column
                        terms.append(-F.log_softmax(logits, dim=0)[target])
                        hits.append(logits.argmax() == target)
            losses.append(torch.stack(terms).mean())
    return torch.stack(losses).mean(), torch.stack(hits).float().mean()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("cpc_v1", {}),
        ("cpc_v1", {"directions": 2, "first_step": 2, "temperature": 0.5}),
        ("cpc_v2", {"dim": 6, "temperature": 0.1}),
    ],
)
def test_loss_and_gradients_equal_the_transcription(name, settings):
    # In fp64, which oneDNN does not serve: its gradient of a strided 1x1 convolution of an odd batch writes past
    # its memory on some processors (torch 2.11).
    method, data = build(name, **settings).double(), batch()
    data = dataclasses.replace(data, views=(data.views[0].double(),))
    network = copy.deepcopy(method)
    expected, accuracy = transcription(network, data)
    expected.backward()
    loss, metrics, _ = method.loss(data)
    loss.backward()
    torch.testing.assert_close(loss, expected)
    assert metrics["accuracy"] == accuracy
    assert not metrics["accuracy"].requires_grad
    for (key, ours), theirs in zip(method.named_parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-3, atol=1e-5, msg=key)


def test_the_context_network_is_the_one_that_v2_lists():
    """Henaff et al. 2020, appendix A.2."""
    context = build().directions[0].context
    x = torch.randn(2, 64, 3, 3)
    expected = x
    for block in list(context)[:-1]:
        reduce, across, down, expand = ((c.weight, c.bias) for c in block.children())
        y = F.conv2d(F.relu(F.conv2d(expected, *reduce)), *across, padding=(0, 1))
        above = torch.zeros_like(y[:, :, :1])
        y = F.relu(F.conv2d(torch.cat([above, y], dim=2), *down))
        expected = expected + F.conv2d(y, *expand)
    assert len(context) == 3
    torch.testing.assert_close(context(x), F.relu(expected))


def test_a_context_knows_its_row_and_those_above_and_no_other():
    method = build()
    grid = torch.randn(1, 64, 5, 5, requires_grad=True)
    context = method.directions[0].context(grid)
    (gradient,) = torch.autograd.grad(context[:, :, 3].sum(), grid)
    reached = gradient.abs().sum((0, 1, 3)) > 0
    assert reached.tolist() == [False, True, True, True, False]  # two blocks see two rows up


def test_a_block_sees_its_neighbors_in_a_row():
    torch.manual_seed(0)
    grid = torch.randn(1, 4, 3, 5, requires_grad=True)
    (gradient,) = torch.autograd.grad(ContextBlock(4, 8)(grid)[:, :, 1, 2].sum(), grid)
    assert (gradient[0].abs().sum(0) > 0).tolist() == [[False, True, True, True, False]] * 2 + [[False] * 5]


def test_v2_is_v1_in_four_directions_with_altered_patches():
    one, two = (dataclasses.asdict(METHODS[name].Config(name=name)) for name in ("cpc_v1", "cpc_v2"))
    changed = {key for key in one if one[key] != two[key]}
    assert changed == {"name", "directions", "first_step", "flip_patches", "drop_colors", "dim", "temperature"}
    assert len(build("cpc_v2").directions) == 4


def test_the_order_of_the_batch_does_not_matter():
    method, data = build("cpc_v2"), batch()
    swapped = dataclasses.replace(data, views=(data.views[0].flip(0),), index=data.index.flip(0))
    torch.testing.assert_close(method.loss(swapped)[0], method.loss(data)[0])


class TestPatches:
    def altered(self, **settings):
        config = build(**{"shift": 0, **settings}).config
        plain = views.patch_grid(batch().views[0], 16)
        return plain, _patches(config, batch().views[0], KEY)

    def test_are_as_they_were_cut_without_options(self):
        plain, altered = self.altered()
        assert torch.equal(plain, altered)

    def test_are_shifted(self):
        plain, altered = self.altered(shift=3)
        assert torch.equal(altered, views.shift_patches(plain, KEY, 3))
        border = torch.ones(16, 16, dtype=torch.bool)
        border[3:-3, 3:-3] = False
        assert not altered[..., border].any()
        assert torch.equal(self.altered(shift=None)[1], views.shift_patches(plain, KEY, 1))

    def test_are_mirrored_one_by_one(self):
        plain, altered = self.altered(flip_patches=0.5)
        kept = (altered == plain).flatten(2).all(2)
        mirrored = (altered == plain.flip(-1)).flatten(2).all(2)
        assert (kept ^ mirrored).all()
        assert kept.any()
        assert mirrored.any()

    def test_lose_their_colors(self):
        plain, altered = self.altered(drop_colors=1.0)
        assert ((altered == plain).flatten(3).all(3).sum(2) == 1).all()  # one channel is kept


def test_layer_normalization_keeps_patches_apart():
    """The features of a patch do not depend on the others in its batch, as under batch normalization."""
    patches = torch.randn(6, 3, 16, 16)
    layer, plain = build().encoder, build(encoder=EncoderConfig(stem="cifar", width=0.125)).encoder
    torch.testing.assert_close(layer(patches)[:2], layer(patches[:2]))
    assert not torch.allclose(plain(patches)[:2], plain(patches[:2]), atol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"patch": 33}, "cpc_v1, views of 32 pixels: patch_grid: expected a patch of 1 to 32 pixels"),
        ({"stride": 5}, "leave 1 of 32 pixels uncovered"),
        ({"shift": 8}, "expected a margin of less than half of 16 pixels, got margin=8"),
        ({"last_step": 3}, "last_step=3: expected steps in rising order, at most 2 in a grid of 3 x 3 patches"),
        ({"first_step": 2, "last_step": 1}, "first_step=2, method.last_step=1: expected steps in rising order"),
        ({"encoder": EncoderConfig(norm="layer")}, "more than 16 pixels.* 32 x 32, got 16 x 16"),
    ],
)
def test_grids_that_cannot_be_are_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        build(**settings)
