"""Training steps on fake CUDA tensors, which have shapes and devices but no memory: what a CPU can tell of a GPU.

An operation on tensors of two devices, or one whose result the host would have to wait for, raises. Autograd needs
a real GPU, so gradients are made up, and torch's fused SGD knows no fake tensors: the optimizer is left out.
"""

from collections import Counter
from contextlib import contextmanager

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sslfast.benchmarks.train.cases import cases, recipe_of
from sslfast.data import Batch
from sslfast.encoders import build_encoder
from sslfast.methods import METHODS
from sslfast.optim.optimizers import build_optimizer
from sslfast.train.guard import FiniteGuard
from tests.methods.harness import after_step
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS

LARGE = cases(torch.device("cuda"))[1]  # ResNet-50, 224 pixels


@pytest.fixture(params=sorted(METHODS))
def name(request):
    return request.param


def build(recipe, images):
    with torch.device("meta"):  # initialized for nothing otherwise
        encoder = build_encoder(recipe.encoder, mean=recipe.data.mean, std=recipe.data.std)
        return METHODS[recipe.method.name](recipe, encoder, images)


class Step:
    """A step of a method in bf16, which it moves to the fake GPU. Make it within `fake_tensors()`.

    Args:
        method: of `build`.
        recipe: its.
        epoch: of the batch.
    """

    def __init__(self, method, recipe, epoch):
        self.method = method
        move_to_fake_cuda(method)
        for parameter in method.parameters():
            parameter.grad = torch.empty_like(parameter) if parameter.requires_grad else None
        data, index = recipe.data, torch.empty(recipe.data.batch_size, dtype=torch.int64, device="cuda")
        views = tuple(torch.empty(len(index), 3, s, s, dtype=torch.bfloat16, device="cuda") for s in data.sizes)
        views = tuple(view.contiguous(memory_format=torch.channels_last) for view in views)
        boxes = tuple(torch.empty(len(index), 5, device="cuda") for _ in views)
        self.batch = Batch(views, index, torch.empty_like(index), 0, epoch, boxes)
        optimizer = build_optimizer(
            self.method.named_parameters(), recipe.optim, len(index), self.method.constant_lr
        )
        self.guard = FiniteGuard(self.method, optimizer, recipe.optim.clip_norm)

    def __call__(self):
        self.guard.remember()
        with bf16():
            loss, values, kept = self.method.loss(self.batch)
        skip = self.guard.decide(loss.detach())
        after_step(self.method, kept, 0, 8, skip)
        assert {value.device.type for value in (loss, *values.values())} == {"cuda"}


def move_to_fake_cuda(module):
    """Moves a module in place, as .to("cuda") does to tensors that have memory."""
    moved = {}

    def move(tensor):
        if tensor is None:
            return None
        if id(tensor) not in moved:
            new = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="cuda")
            is_parameter = isinstance(tensor, nn.Parameter)
            moved[id(tensor)] = nn.Parameter(new, tensor.requires_grad) if is_parameter else new
        return moved[id(tensor)]

    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            tensors.update({name: move(tensor) for name, tensor in tensors.items()})


@contextmanager
def bf16():
    """Turns on autocast for CUDA, which torch.autocast leaves off where there is none."""
    torch.set_autocast_enabled("cuda", True)
    torch.set_autocast_dtype("cuda", torch.bfloat16)
    torch.autocast_increment_nesting()
    try:
        yield
    finally:
        torch.autocast_decrement_nesting()
        torch.clear_autocast_cache()
        torch.set_autocast_enabled("cuda", False)


def fake_tensors():
    return FakeTensorMode(allow_non_fake_inputs=True, allow_fallback_kernels=False)


class NoTransfer(TorchDispatchMode):
    """Refuses operations on tensors of the CPU, or from there to the GPU: the host would wait for most."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        tensors = tree_leaves((args, kwargs, results))
        devices = {tensor.device.type for tensor in tensors if isinstance(tensor, torch.Tensor)}
        assert "cpu" not in devices, f"{func} of tensors on {devices}"
        return results


def test_a_step_stays_on_the_gpu(name):
    recipe = small_recipe(name)
    method = build(recipe, images=64)
    with fake_tensors():
        step = Step(method, recipe, SUBJECTS[name].epoch)
        step()  # what the first step sets up may wait
        with NoTransfer():
            step()


def test_the_guards_guard():
    with fake_tensors():
        on_gpu = torch.ones(3, device="cuda")
        with pytest.raises(DataDependentOutputException):
            on_gpu.sum().item()
        with pytest.raises(RuntimeError, match="two (different )?devices"):
            on_gpu + torch.ones(3)
        with NoTransfer(), pytest.raises(AssertionError, match="cpu"):
            torch.tensor([1.0], device="cuda")


class Traffic(TorchDispatchMode):
    """Counts the bytes that operations read and write, those of a method's networks apart.

    A part without parameters that is to be compiled counts as one operation.
    """

    def __init__(self, method):
        super().__init__()
        self.inside, self.bytes = 0, Counter()
        self.fused = [part for part in method.compiled() if not any(True for _ in part.parameters())]
        networks = [part for part in method.modules() if any(True for _ in part.parameters())]
        for part in [*networks, *self.fused]:
            if part is not method:
                part.register_forward_pre_hook(self.enter)
                part.register_forward_hook(self.leave)

    def enter(self, *_):
        self.inside += 1

    def leave(self, part, inputs, output):
        self.inside -= 1
        if part in self.fused:
            self.bytes["outside"] += size((inputs, output))

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        results = func(*args, **(kwargs or {}))
        if not func.is_view and func is not torch.ops.prim.device.default:
            self.bytes["inside" if self.inside else "outside"] += size((args, kwargs, results))
        return results


def size(tree):
    """Counts the bytes of tensors, without what overlapping windows repeat."""
    tensors = (x for x in tree_leaves(tree) if isinstance(x, torch.Tensor))
    return sum(min(x.numel() * x.element_size(), x.untyped_storage().nbytes()) for x in tensors)


@pytest.mark.long
def test_a_step_moves_little_memory_outside_its_networks(name):
    """At ResNet-50 and 224 pixels, whose steps are bound by memory: at most 5% of what they move.

    A network's backward pass moves at least twice what its forward pass moves; what lies outside is counted here
    without its own backward pass.
    """
    recipe = recipe_of(name, LARGE)
    method = build(recipe, LARGE.num_images)
    with fake_tensors():
        step = Step(method, recipe, recipe.train.epochs - 1)
        with Traffic(step.method) as traffic:
            step()
    share = traffic.bytes["outside"] / (traffic.bytes["outside"] + 3 * traffic.bytes["inside"])
    assert 0 < share < 0.05
