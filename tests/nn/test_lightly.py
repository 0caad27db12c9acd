"""sslfast.nn.compat.lightly beside lightly itself, where it is installed."""

import inspect

import pytest
import torch

from sslfast.nn.compat import lightly as ours
from tests.nn.compare import assert_same, embeddings

theirs = pytest.importorskip("lightly.loss")

SHAPES = [(2, 3), (7, 33), (64, 128)]
NAMES = sorted({*ours.__all__} - {"MemoryBankModule"})


def both(name, **arguments):
    return getattr(ours, name)(**arguments), getattr(theirs, name)(**arguments)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["__init__", "forward"])
def test_signatures(name, method):
    mine, original = (inspect.signature(getattr(getattr(package, name), method)) for package in (ours, theirs))
    assert [(p.name, p.default, p.kind) for p in mine.parameters.values()] == [
        (p.name, p.default, p.kind) for p in original.parameters.values()
    ]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("temperature", [0.05, 0.5, 10])
def test_nt_xent(shape, temperature):
    assert_same(*both("NTXentLoss", temperature=temperature), embeddings(*shape))


@pytest.mark.parametrize(("shape", "size"), [((2, 3), 1), ((7, 33), 30), ((64, 128), 300), ((40, 5), 25)])
def test_nt_xent_with_a_memory_bank(shape, size):
    """Over steps enough for the pointer to come round: 300 and 30 are not multiples of the batch."""
    banks = []
    for package in (ours, theirs):
        torch.manual_seed(3)
        banks.append(package.NTXentLoss(temperature=0.2, memory_bank_size=(size, shape[1])))
    mine, original = banks
    for step in range(8):
        torch.testing.assert_close(dict(mine.named_buffers()), dict(original.named_buffers()))
        assert_same(mine, original, embeddings(*shape, seed=step))
    torch.testing.assert_close(dict(mine.named_buffers()), dict(original.named_buffers()))
    with torch.no_grad():
        torch.testing.assert_close(mine(*embeddings(*shape)), original(*embeddings(*shape)))
    torch.testing.assert_close(mine.memory_bank.bank, original.memory_bank.bank)  # evaluation changes nothing
    original.load_state_dict(mine.state_dict())
    mine.load_state_dict(original.state_dict())


@pytest.mark.parametrize("feature_dim_first", [False, True])
def test_memory_bank_module(feature_dim_first):
    from lightly.models.modules.memory_bank import MemoryBankModule

    modules = []
    for cls in (ours.MemoryBankModule, MemoryBankModule):
        torch.manual_seed(0)
        modules.append(cls((10, 4), feature_dim_first=feature_dim_first))
    for step in range(5):
        (batch,) = embeddings(3, 4, seed=step, count=1)
        mine, original = (module(batch, update=step != 2) for module in modules)
        torch.testing.assert_close(mine, original)


@pytest.mark.parametrize("local", [0, 1, 6])
@pytest.mark.parametrize("queue", [None, 9])
@pytest.mark.parametrize(
    "arguments", [{}, {"temperature": 0.5, "sinkhorn_iterations": 1, "sinkhorn_epsilon": 0.2}]
)
def test_swav(local, queue, arguments):
    mine, original = both("SwaVLoss", **arguments)
    scores = [tensor.tanh() for tensor in embeddings(8, 30, count=2 + local)]
    queues = queue and [tensor.tanh() for tensor in embeddings(queue, 30, seed=1)]
    assert_same(
        lambda *crops: mine(list(crops[:2]), list(crops[2:]), queues),
        lambda *crops: original(list(crops[:2]), list(crops[2:]), queues),
        scores,
    )


@pytest.mark.parametrize("crops", [1, 3])
def test_swav_with_other_numbers_of_global_crops(crops):
    scores = [tensor.tanh() for tensor in embeddings(8, 30, count=crops + 2)]
    mine, original = both("SwaVLoss")
    assert_same(
        lambda *every: mine(every[:crops], every[crops:]),
        lambda *every: original(every[:crops], every[crops:]),
        scores,
    )


@pytest.mark.parametrize("shape", [(4, 3), *SHAPES[1:]])  # two samples, standardized, are +-1 whatever they are
@pytest.mark.parametrize("lambda_param", [5e-3, 1.0])
def test_barlow_twins(shape, lambda_param):
    assert_same(*both("BarlowTwinsLoss", lambda_param=lambda_param), embeddings(*shape))


@pytest.mark.parametrize("arguments", [{}, {"dim": 0}, {"eps": 1.0}])
def test_negative_cosine_similarity(arguments):
    assert_same(*both("NegativeCosineSimilarity", **arguments), embeddings(7, 33))


PAIRS = [
    ("DCLLoss", {}),
    ("DCLLoss", {"temperature": 0.5, "weight_fn": lambda a, b: (a - b).square().sum(dim=1)}),
    ("DCLWLoss", {"temperature": 0.2, "sigma": 0.3}),
    ("DirectCLRLoss", {"loss_dim": 20}),
    ("MACLLoss", {}),
    ("MACLLoss", {"temperature": 0.5, "alpha": 1.0, "A_0": 0.3}),
    ("TiCoLoss", {}),
    ("TiCoLoss", {"beta": 0.5, "rho": 20.0}),
    ("VICRegLoss", {}),
    ("VICRegLoss", {"lambda_param": 2.0, "mu_param": 3.0, "nu_param": 4.0, "eps": 0.1}),
]


@pytest.mark.parametrize(("name", "arguments"), PAIRS)
def test_losses_of_two_views(name, arguments):
    """Over three steps, for what moves."""
    mine, original = both(name, **arguments)
    for step in range(3):
        assert_same(mine, original, embeddings(40, 33, seed=step))


def test_tico_may_leave_the_covariance():
    mine, original = both("TiCoLoss")
    for step, update in enumerate([True, False, True]):
        views = embeddings(7, 5, seed=step)
        torch.testing.assert_close(mine(*views, update), original(*views, update))
        torch.testing.assert_close(mine.C, original.C)


@pytest.mark.parametrize("arguments", [{}, {"p": 1.0, "eps": 1e-3}])
@pytest.mark.parametrize("repeated", [1, 2])
def test_koleo(arguments, repeated):
    (x,) = embeddings(20, 8, count=1)
    assert_same(*both("KoLeoLoss", **{"eps": 1e-3, **arguments}), [x.repeat(repeated, 1)])


def test_mmcr():
    (online, momentum) = embeddings(5, 3, 8)
    assert_same(*both("MMCRLoss", lmda=0.3), [online, momentum])


@pytest.mark.parametrize(("teacher", "student"), [(2, 2), (2, 5), (1, 3)])
@pytest.mark.parametrize("call", [{}, {"teacher_temp": 0.07}, {"epoch": 1}, {"epoch": 3}])
def test_dino(teacher, student, call):
    arguments = {"output_dim": 9, "warmup_teacher_temp": 0.02, "warmup_teacher_temp_epochs": 3}
    mine, original = both("DINOLoss", **arguments)
    for step in range(3):
        assert_same(
            lambda *views: mine(views[:teacher], views[teacher:], **call),
            lambda *views: original(list(views[:teacher]), list(views[teacher:]), **call),
            [scores / 20 for scores in embeddings(6, 9, seed=step, count=teacher + student)],
        )
    torch.testing.assert_close(mine.state_dict(), original.state_dict())


def test_ibot():
    mask = torch.rand(4, 3, 3, generator=torch.Generator().manual_seed(0)) < 0.4
    mask[1] = False
    mine, original = both("IBOTPatchLoss", output_dim=9)
    for step in range(3):
        scores = [scores / 20 for scores in embeddings(int(mask.sum()), 9, seed=step)]
        for call in ({}, {"teacher_temp": 0.1}):
            assert_same(lambda *s, c=call: mine(*s, mask, **c), lambda *s, c=call: original(*s, mask, **c), scores)
    torch.testing.assert_close(mine.state_dict(), original.state_dict())


MSN = [
    ("MSNLoss", {}),
    ("MSNLoss", {"temperature": 0.5, "sinkhorn_iterations": 0, "regularization_weight": 0}),
    ("MSNLoss", {"sinkhorn_iterations": 1, "regularization_weight": 3.0}),
    ("PMSNLoss", {"power_law_exponent": 0.7}),
    ("PMSNCustomLoss", {"target_distribution": lambda p: p.detach().flip(0)}),
]


@pytest.mark.parametrize(("name", "arguments"), MSN)
@pytest.mark.parametrize("sharpening", [0.25, 1.0])
def test_msn(name, arguments, sharpening):
    mine, original = both(name, **arguments)
    tensors = embeddings(12, 5, count=1) + embeddings(6, 5, seed=1, count=1) + embeddings(8, 5, seed=2, count=1)
    assert_same(lambda *t: mine(*t, sharpening), lambda *t: original(*t, sharpening), tensors)
