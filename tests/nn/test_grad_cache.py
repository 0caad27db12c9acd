"""cached_backward: the gradients of the whole batch, whatever the chunks."""

import contextlib
import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sslfast import kernels as K
from sslfast.nn import CLIPLoss, cached_backward


def network(dropout=0.0):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 16), nn.GELU(), nn.Dropout(dropout), nn.Linear(16, 8)).double()


def views(*counts):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(count, 5, generator=generator, dtype=torch.float64) for count in counts]


def nt_xent(a, b):
    return K.nt_xent(F.normalize(a, dim=1), F.normalize(b, dim=1), temperature=0.5)


def gradients(module):
    return {name: parameter.grad for name, parameter in module.named_parameters()}


@pytest.mark.parametrize("chunk_size", [1, 3, 8, 100])
def test_loss_and_gradients_are_the_whole_batchs(chunk_size):
    chunked, whole = network(), network()
    expected = nt_xent(*(whole(view) for view in views(8, 8)))
    expected.backward()
    loss = cached_backward(chunked, views(8, 8), nt_xent, chunk_size=chunk_size)
    torch.testing.assert_close(loss, expected.detach())
    assert not loss.requires_grad
    torch.testing.assert_close(gradients(chunked), gradients(whole))
    cached_backward(chunked, views(8, 8), nt_xent, chunk_size=chunk_size)  # they add up, as backward's
    torch.testing.assert_close(gradients(chunked), {name: 2 * grad for name, grad in gradients(whole).items()})


def test_views_of_several_lengths_one_of_which_does_not_count():
    chunked, whole = network(), network()
    whole(views(5, 3, 2)[0]).square().sum().backward()
    cached_backward(chunked, views(5, 3, 2), lambda a, b, c: a.square().sum(), chunk_size=2)
    torch.testing.assert_close(gradients(chunked), gradients(whole))


def test_dropout_draws_the_same_numbers_in_both_passes():
    """A draw of its own in the second pass would make gradients of features that the loss has not seen."""
    chunked, whole = network(dropout=0.5), network(dropout=0.5)
    torch.manual_seed(3)
    parts = [torch.cat([whole(chunk) for chunk in view.split(3)]) for view in views(6, 6)]
    nt_xent(*parts).backward()
    state = torch.get_rng_state()
    torch.manual_seed(3)
    cached_backward(chunked, views(6, 6), nt_xent, chunk_size=3)
    torch.testing.assert_close(gradients(chunked), gradients(whole))
    assert torch.equal(torch.get_rng_state(), state)  # the next step draws on


def test_the_losss_own_parameters_learn():
    loss, other = CLIPLoss(learnable_temperature=True), CLIPLoss(learnable_temperature=True)
    other(*(network()(view) for view in views(6, 6))).backward()
    cached_backward(network(), views(6, 6), loss, chunk_size=2)
    torch.testing.assert_close(loss.log_temperature.grad, other.log_temperature.grad)


def test_ranks_exchange_gradients_once():
    class Wrapped(nn.Module):
        """Counts as DistributedDataParallel does: backward passes outside of no_sync exchange."""

        def __init__(self):
            super().__init__()
            self.module, self.syncs, self.exchanges = network(), True, 0

        def forward(self, x):
            self.exchanges += self.syncs and torch.is_grad_enabled()
            return self.module(x)

        @contextlib.contextmanager
        def no_sync(self):
            self.syncs = False
            yield
            self.syncs = True

    wrapped = Wrapped()
    cached_backward(wrapped, views(6, 6), nt_xent, chunk_size=2)
    assert wrapped.exchanges == 1
    alone = copy.deepcopy(wrapped.module)
    alone.zero_grad()
    cached_backward(alone, views(6, 6), nt_xent, chunk_size=2)
    torch.testing.assert_close(gradients(alone), gradients(wrapped.module))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"chunk_size": 0}, "expected chunk_size to be a whole number of at least 1, got 0"),
        ({"views": []}, r"expected views of at least one sample each, got \[\]"),
        ({"views": views(2, 0)}, r"expected views of at least one sample each, got \[2, 0\]"),
    ],
)
def test_what_cannot_be_is_refused(arguments, message):
    arguments = {"views": views(2, 2), "loss": nt_xent, "chunk_size": 2} | arguments
    with pytest.raises(ValueError, match=f"cached_backward: {message}"):
        cached_backward(network(), **arguments)
