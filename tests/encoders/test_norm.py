"""Batch normalization over parts of a batch, and over processes."""

import copy

import pytest
import torch
import torch.distributed as dist
from torch import nn

from sslfast.config import EncoderConfig
from sslfast.encoders import build_encoder
from sslfast.encoders.norm import HostSyncBatchNorm, SplitBatchNorm, synchronized, use_whole_batches
from sslfast.errors import UsageError
from tests.methods.harness import build_method


class TestSplitBatchNorm:
    def test_normalizes_each_part_by_itself(self):
        norm = SplitBatchNorm(3, splits=4)
        images = torch.randn(8, 3, 5, 5) * torch.arange(1, 9).view(8, 1, 1, 1)
        parts = [torch.nn.BatchNorm2d(3)(part) for part in images.chunk(4)]
        torch.testing.assert_close(norm(images), torch.cat(parts))

    def test_takes_the_rows_of_a_head(self):
        norm, rows = SplitBatchNorm(3, splits=2), torch.randn(8, 3)
        parts = [torch.nn.BatchNorm1d(3)(part) for part in rows.chunk(2)]
        torch.testing.assert_close(norm(rows), torch.cat(parts))
        assert norm.eval()(rows).shape == (8, 3)

    def test_running_statistics_take_one_step_of_momentum_a_batch(self):
        norm = SplitBatchNorm(1, splits=4)
        norm(torch.full((8, 1, 2, 2), 5.0))
        torch.testing.assert_close(norm.running_mean, torch.tensor([0.1 * 5.0]))

    def test_equals_batch_norm_in_evaluation(self):
        norm, plain = SplitBatchNorm(3, splits=4), torch.nn.BatchNorm2d(3)
        norm(torch.randn(8, 3, 5, 5))
        plain.load_state_dict(norm.state_dict())
        images = torch.randn(5, 3, 4, 4)
        torch.testing.assert_close(norm.eval()(images), plain.eval()(images), rtol=0, atol=0)

    def test_refuses_a_batch_that_does_not_divide(self):
        with pytest.raises(UsageError, match="divisible by encoder.norm_splits=4, got 6"):
            SplitBatchNorm(3, splits=4)(torch.randn(6, 3, 2, 2))


def test_synchronized_batch_norm_is_batch_norm_in_one_process():
    plain, sync = (
        build_encoder(EncoderConfig(stem="cifar", width=0.125, norm=norm)) for norm in ("batch", "sync")
    )
    norms = [module for module in sync.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert len(norms) == 20
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    sync.load_state_dict(plain.state_dict())
    images = torch.randn(4, 3, 16, 16)
    for encoder in (plain, sync):
        encoder(images).square().sum().backward()
    for ours, theirs in zip(sync.parameters(), plain.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)
    for key, value in plain.state_dict().items():
        assert torch.equal(sync.state_dict()[key], value), key


def test_sync_reaches_the_heads_and_the_target_still_follows():
    encoder = EncoderConfig(stem="cifar", width=0.125, norm="sync")
    method = synchronized(build_method("byol", encoder=encoder, dim=8, hidden=16), torch.device("cuda"))
    norms = [module for module in method.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert norms
    assert all(isinstance(norm, nn.SyncBatchNorm) for norm in norms)
    with torch.no_grad():
        for parameter in method.parameters():
            parameter.add_(1)
    method.target.update(0.0)
    online = [*method.encoder.parameters(), *method.projector.parameters()]
    assert all(map(torch.equal, method.target.parameters(), online))


@pytest.mark.parametrize(
    "kind", [nn.BatchNorm2d, nn.SyncBatchNorm, lambda *_, **m: SplitBatchNorm(3, splits=2, **m)]
)
@pytest.mark.parametrize("training", [False, True])
def test_whole_batches_keep_parameters_statistics_momentum_and_mode(kind, training):
    norm = kind(3, momentum=0.3)
    norm.load_state_dict({name: value + 1 for name, value in norm.state_dict().items()})
    module = nn.Sequential(nn.Sequential(norm)).train(training)
    use_whole_batches(module)
    whole = module[0][0]
    assert (type(whole), whole.momentum, whole.eps, whole.training) == (nn.BatchNorm2d, 0.3, norm.eps, training)
    assert whole.state_dict().keys() == norm.state_dict().keys()
    assert all(map(torch.equal, whole.state_dict().values(), norm.state_dict().values()))
    assert all(parameter.requires_grad for parameter in whole.parameters())


def test_norms_that_do_more_stay():
    """As timm's, which have an activation."""

    class WithActivation(nn.SyncBatchNorm):
        def forward(self, x):
            return super().forward(x).relu()

    module = nn.Sequential(WithActivation(3))
    use_whole_batches(module)
    assert module(torch.randn(4, 3, 2, 2)).min() == 0


RANKS = 2
SHAPES = [(6, 3, 4, 4), (8, 3)]  # of an encoder's map, and of a head's rows


def normalized(norm, x, weights):
    """Computes what a layer makes of x in training, and the gradients of a weighted sum of it."""
    x = x.clone().requires_grad_()
    y = norm(x)
    gradients = torch.autograd.grad((y * weights).sum(), [x, *norm.parameters()])
    return y.detach(), *gradients


def inputs(shape):
    generator = torch.Generator().manual_seed(len(shape))
    x, weights = (torch.randn(shape, generator=generator) for _ in range(2))
    return 3 + x * torch.arange(1, shape[0] + 1).view(-1, *[1] * (len(shape) - 1)), weights


def check_encoder(rank):
    """Asserts of an encoder, wrapped as a method is, that the ranks' mean gradients are those of the whole."""
    torch.manual_seed(0)
    plain = build_encoder(EncoderConfig(stem="cifar", width=0.03, norm="batch")).double()
    sync = synchronized(copy.deepcopy(plain), torch.device("cpu"))
    replica = nn.parallel.DistributedDataParallel(sync, broadcast_buffers=False)
    images, weights = torch.randn(8, 3, 8, 8).double(), torch.randn(8, plain.feature_dim).double()
    (plain.forward(images) * weights).mean().backward()
    (replica(images.chunk(RANKS)[rank]) * weights.chunk(RANKS)[rank]).mean().backward()
    for ours, theirs in zip(sync.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad)
    torch.testing.assert_close(dict(sync.named_buffers()), dict(plain.named_buffers()))


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    for shape in SHAPES:
        plain = nn.BatchNorm2d(3) if len(shape) == 4 else nn.BatchNorm1d(3)
        nn.init.uniform_(plain.weight)
        dist.broadcast(plain.weight.data, 0)
        sync = synchronized(nn.Sequential(plain), torch.device("cpu"))[0]
        assert type(sync) is HostSyncBatchNorm
        assert sync.weight is plain.weight
        statistics = sync.running_mean.clone(), sync.running_var.clone()
        x, weights = inputs(shape)
        y, grad, *of_parameters = normalized(sync, x.chunk(RANKS)[rank], weights.chunk(RANKS)[rank])
        found = [buffer.clone() for buffer in sync.buffers()]
        sync.running_mean.copy_(statistics[0])
        sync.running_var.copy_(statistics[1])
        sync.num_batches_tracked.zero_()
        whole, whole_grad, *whole_of_parameters = normalized(plain, x, weights)
        torch.testing.assert_close(y, whole.chunk(RANKS)[rank])
        torch.testing.assert_close(grad, whole_grad.chunk(RANKS)[rank])
        for gradient, expected in zip(of_parameters, whole_of_parameters, strict=True):
            dist.all_reduce(gradient)
            torch.testing.assert_close(gradient, expected)
        torch.testing.assert_close(found, list(plain.buffers()))
        torch.testing.assert_close(sync.eval()(x), plain.eval()(x))
        assert sync.train()(x.bfloat16()).dtype == torch.bfloat16
    check_encoder(rank)
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_batch_norm_over_two_ranks_is_that_over_one_with_all_images(tmp_path):
    """What it makes of them, the gradients of all ranks' losses, and the running statistics."""
    torch.multiprocessing.spawn(work, args=(str(tmp_path),), nprocs=RANKS)


def test_a_layer_of_other_software_has_none_on_a_cpu():
    class SyncBatchNormAct(nn.SyncBatchNorm):
        pass

    with pytest.raises(UsageError, match="encoder.norm=sync: timm's SyncBatchNormAct works on GPUs only"):
        synchronized(nn.Sequential(SyncBatchNormAct(3)), torch.device("cpu"))
    layers = nn.Sequential(SyncBatchNormAct(3))
    assert type(synchronized(layers, torch.device("cuda"))[0]) is SyncBatchNormAct  # its activation stays
