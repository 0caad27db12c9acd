"""The ops as the tests of what every op promises (test_contract.py) see them: one file an op, with a SUBJECT."""

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Subject:
    """An op whose results are tensors, with inputs to call it on.

    Attributes:
        op: its name.
        inputs: `inputs(dtype)`: its tensors, on the CPU, of a middling odd shape: more than one block of each
            implementation, but little work for Triton's interpreter.
        call: `call(*inputs, impl=...)`: the public function, all other arguments given; a tensor or a tuple.
        differentiable: which inputs may receive a gradient, by position.
        dot: whether its Triton kernels multiply matrices, what the interpreter does wrongly in bf16.
        bit_equal_layouts: whether the memory layout of the inputs must not change any bit of the results.
        autocast: whether autocast casts the inputs, as for a matmul; else they are taken as they are.
        impls: those of its implementations that take this call; none: all do.
        name: of a second subject of an op; "": the op's.
    """

    op: str
    inputs: Callable[[torch.dtype], tuple[Tensor, ...]]
    call: Callable[..., Tensor | tuple[Tensor, ...]]
    differentiable: tuple[int, ...] = ()
    dot: bool = True
    bit_equal_layouts: bool = True
    autocast: bool = True
    impls: tuple[str, ...] = ()
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.op


def subjects() -> list[Subject]:
    names = sorted(module.name for module in pkgutil.iter_modules(__path__))
    return [importlib.import_module(f"{__name__}.{name}").SUBJECT for name in names]
