"""Random calls of every op, for test_fuzz.py: `OPS` are functions of a `Sampler`.

Each returns a function of tensors that gives one tensor, the op or what it leaves in place; the tensors; and the
other arguments.
"""

import math
import random

import torch
from torch import Tensor

from sslfast import kernels as K
from sslfast.kernels.view_augment import Draw
from tests.kernels.views import MEAN, STD, some_draws, some_images

DTYPES = (torch.float32, torch.float16, torch.bfloat16)
WHOLE = (-(2**63), -(2**40), -100, -1, 0, 1, 2, 7, 2**31, 2**40, 2**63 - 1)  # also of what is out of range


class Sampler:
    """Random arguments, all from one seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.generator = torch.Generator().manual_seed(seed)
        self.dtype = self.random.choice(DTYPES)
        self.temperature = 10 ** self.random.uniform(-2, 2)

    def size(self, largest: int = 40) -> int:
        if self.random.random() < 0.3:
            return self.random.choice((0, 1, 1, 2, 3))
        return self.random.randint(1, largest)

    def unless_rarely(self, number: int) -> int:
        """Returns the number, or now and then one that is likely out of range."""
        return self.random.choice(WHOLE) if self.random.random() < 0.2 else number

    def floats(self, *shape: int, scale: float = 1.0) -> Tensor:
        """Draws random numbers, at times strided, expanded, or with a NaN or infinity."""
        x = torch.randn(shape, generator=self.generator).mul(scale).to(self.dtype)
        match self.random.randrange(12):
            case 0 if x.ndim > 1:
                x = x.transpose(-1, -2).contiguous().transpose(-1, -2)
            case 1 if x.ndim and x.shape[0]:
                x = torch.stack([x, x], -1)[..., 0]
            case 2 if x.ndim and x.shape[0]:
                x = x[:1].expand(x.shape)
            case 3 if x.numel():
                x.view(-1)[self.random.randrange(x.numel())] = self.random.choice((math.nan, math.inf, -math.inf))
        return x

    def whole(self, *shape: int) -> Tensor:
        """Draws int64 numbers of any size."""
        return torch.tensor(self.random.choices(WHOLE, k=math.prod(shape)), dtype=torch.int64).view(shape)


def info_nce(s):
    n, d = s.size(), s.size()
    queue = s.floats(s.size(90), d)

    def against_queue(*tensors, impl, temperature):
        return K.info_nce(*tensors, queue.to(tensors[0].dtype), temperature=temperature, impl=impl)

    return against_queue, [s.floats(n, d), s.floats(n, d)], {"temperature": s.temperature}


def in_batch_info_nce(s):
    n, m, d = s.size(), s.size(60), s.size()
    options = {"temperature": s.temperature, "offset": s.unless_rarely(s.random.randint(0, max(m - n, 0)))}
    options["chunks"] = s.unless_rarely(1 if n % 2 else 2)
    if s.random.random() < 0.5:
        options["ids"] = s.whole(n), s.whole(m)
    return K.in_batch_info_nce, [s.floats(n, d), s.floats(m, d)], options


def nt_xent(s):
    n, d = s.size(), s.size()
    return K.nt_xent, [s.floats(n, d), s.floats(n, d)], {"temperature": s.temperature}


def sup_con(s):
    m = s.size(150)
    return K.sup_con, [s.floats(m, s.size()), s.whole(m)], {"temperature": s.temperature}


def soft_cross_entropy(s):
    n, k = s.size(), s.size()
    return K.soft_cross_entropy, [s.floats(n, k), s.floats(n, k).abs()], {"temperature": s.temperature}


def sinkhorn_knopp(s):
    options = {"epsilon": 10 ** s.random.uniform(-2, 1), "iterations": s.random.choice((0, 1, 3))}
    return K.sinkhorn_knopp, [s.floats(s.size(), s.size())], options


def cross_correlation_loss(s):
    n, d = s.size(), s.size()
    n += n == 2  # two rows, standardized, are +-1 whatever they are: their gradient is rounding
    return (
        K.cross_correlation_loss,
        [s.floats(n, d), s.floats(n, d)],
        {"lambd": s.random.choice((0, 0.005, 1, -1))},
    )


def aligned_pooling(s):
    b, h, w = s.size(3), s.random.randint(1, 5), s.random.randint(1, 5)
    shapes = (b, 2 * s.size(6), h, w), (b, 2 * s.size(4), h, w)
    return (
        K.aligned_pooling,
        [s.floats(*shape) for shape in shapes],
        {"groups": s.unless_rarely(2)},
    )


def nearest_neighbor(s):
    d = s.size()

    def similarity(query, queue, impl):
        """Returns the cosines alone: in fp64, another key may be the nearest by a hair."""
        index, cosine = K.nearest_neighbor(query, queue, impl=impl)
        assert ((index >= 0) & (index < max(len(queue), 1))).all()
        return cosine

    return similarity, [s.floats(s.size(), d), s.floats(s.size(90), d)], {}


def enqueue_(s):
    k, d = s.size(), s.size()
    skip = s.random.choice((None, torch.tensor(False), torch.tensor(True)))

    def enqueued(queue, keys, pointer, impl):
        queue, before, pointer = queue.contiguous().clone(), int(pointer), pointer.clone()
        K.enqueue_(queue, keys, pointer, skip=skip, impl=impl)
        moves = len(keys) > 0 and not (skip is not None and skip)
        assert int(pointer) == ((before + len(keys)) % len(queue) if moves else before)
        return queue

    return enqueued, [s.floats(k, d), s.floats(s.size(), d), s.whole()], {}


def ema_update_(s):
    shapes = [[s.size() for _ in range(s.random.randrange(3))] for _ in range(2)]

    def averaged(*tensors, impl):
        targets = [tensor.contiguous().clone() for tensor in tensors[:2]]
        K.ema_update_(targets, tensors[2:], s_momentum, impl=impl)
        return torch.cat([target.flatten() for target in targets])

    s_momentum = s.random.choice((0.0, 0.5, 0.99, 1.0, 1.5, math.nan))
    return averaged, [s.floats(*shape) for shape in 2 * shapes], {}


def view_augment(s):
    count, height, width, size = (
        s.random.randint(1, 5),
        s.random.randint(1, 20),
        s.random.randint(1, 20),
        s.random.randint(2, 12),
    )
    images, draws = some_images(count, height, width), some_draws(count, height, width)
    draws[:, Draw.SIGMA] += s.random.random()
    if s.random.random() < 0.4:
        column = s.random.choice((Draw.TOP, Draw.LEFT, Draw.HEIGHT, Draw.WIDTH))
        draws[s.random.randrange(count), column] = s.random.choice((-1, 0, 1, 25, 1e9, math.nan, -math.inf))
    rows = torch.randint(count, (count,), generator=s.generator)
    if s.random.random() < 0.4:
        rows[s.random.randrange(count)] = s.random.choice(WHOLE)

    channels = s.random.choice((1, 2, 3, 3))
    images, mean, std = images[..., :channels], MEAN[:channels], STD[:channels]

    def viewed(draws, impl):
        dtype = draws.dtype  # fp64 for the truth
        return K.view_augment(images, draws, rows=rows, size=size, mean=mean, std=std, dtype=dtype, impl=impl)

    s.dtype = torch.float32
    return viewed, [draws], {}


def optimizer_step(name, states):
    def case(s):
        n, s.dtype = s.size(), torch.float32
        options = {"lr": s.random.choice((0.1, 0, -1, math.nan)), "weight_decay": s.random.choice((0, 0.1, -1))}
        if states == 1:
            options["momentum"] = s.random.choice((0, 0.9, -0.1))
        else:
            options["betas"] = s.random.choice(((0, 0), (0.9, 0.999), (1, 0.9)))

        def stepped(*tensors, impl, **options):
            params, grad, *state = (tensor.contiguous().clone() for tensor in tensors)
            state[-1].abs_()
            more = [[params.new_ones(()).float()]] if states == 2 else []
            getattr(K, name)([params], [grad], *([each] for each in state), *more, impl=impl, **options)
            return torch.stack([params, *state])

        params, *others = (s.floats(n, scale=0.1) for _ in range(2 + states))
        params = params.nan_to_num(0, 0, 0)  # decay by 0 of what is infinite may be 0 or NaN
        return stepped, [params, *others], options

    case.__name__ = name
    return case


OPS = [
    info_nce,
    in_batch_info_nce,
    nt_xent,
    sup_con,
    soft_cross_entropy,
    sinkhorn_knopp,
    cross_correlation_loss,
    aligned_pooling,
    nearest_neighbor,
    enqueue_,
    ema_update_,
    view_augment,
    optimizer_step("sgd_ema_step_", 1),
    optimizer_step("lars_ema_step_", 1),
    optimizer_step("adamw_ema_step_", 2),
]
