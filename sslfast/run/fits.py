"""The checks of what a checkpoint holds before a run goes on from it: it may be crafted, or of another program.

Each raises a ValueError that begins with the key at fault. Once they have passed, every state has the shape and
the dtype of what it belongs to, and what indexes memory, a queue's pointer or an image's cluster, is within its
bounds.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from sslfast.random.generators import rng_state

KINDS = {"config": dict, "method": dict, "optimizer": dict, "guard": dict, "rng": dict, "step": int, "images": int}
NUMPY_WORDS = 624  # of its generator's state
OF_BATCH_NORM = {"running_var": (0, math.inf), "num_batches_tracked": (0, math.inf)}
NO_OPTIONS = {"lr", "fused", "dampening"}  # of a group: the first is the schedule's, and no step reads the others
NEVER_NEGATIVE = ("step", "exp_avg_sq")  # among the states of optimizers


def check_kinds(state: dict[str, Any], needed: Iterable[str] = KINDS) -> None:
    """Refuses a state that lacks a part that is needed, or has one of `KINDS` of another type."""
    for name in needed:
        if name not in state:
            raise ValueError(f"{name}: is missing")
    for name, kind in KINDS.items():
        if name in state:
            _check_kind(state[name], kind, name)
            if kind is int and not 0 <= state[name] < 2**63:
                raise ValueError(f"{name}: expected a count, got {state[name]:.6g}")


def check_like(saved: Any, own: Any, key: str) -> None:
    """Refuses what differs from `own` in keys, lengths, types, shapes or dtypes, or is not finite."""
    match own:
        case Tensor():
            _check_tensor(saved, own.shape, own.dtype, key)
        case dict():
            _check_kind(saved, dict, key)
            for name in saved:
                if name not in own:
                    raise ValueError(f"{key}: has an unknown {_shown(name)}")
            for name in own:
                if name not in saved:
                    raise ValueError(f"{key}.{name}: is missing")
                check_like(saved[name], own[name], f"{key}.{name}")
        case list() | tuple():
            if not isinstance(saved, (list, tuple)) or len(saved) != len(own):
                raise ValueError(f"{key}: expected {len(own)} items, got {_shown(saved)}")
            for index, (item, like) in enumerate(zip(saved, own, strict=True)):
                check_like(item, like, f"{key}[{index}]")
        case None:  # of a number that need not be there
            _check_kind(0.0 if saved is None else saved, float, key)
        case _:
            _check_kind(saved, type(own), key)


def check_finite(module: nn.Module, key: str) -> None:
    """Refuses a module with parameters or buffers that are not finite."""
    for name, value in module.state_dict().items():
        _check_finite(value, f"{key}.{name}")


def check_bounds(module: nn.Module, key: str) -> None:
    """Refuses a module with values in its buffers that are outside their bounds.

    A module has the least and the largest value, by the buffer's name, in its attribute `buffer_bounds`.
    """
    for prefix, part in module.named_modules(prefix=key):
        bounds = OF_BATCH_NORM | getattr(part, "buffer_bounds", {})
        for name, buffer in part.named_buffers(recurse=False):
            if name in bounds:
                least, largest = bounds[name]
                values = buffer.cpu()
                if wrong := values[(values < least) | (values > largest)].tolist():
                    most = largest.max().item() if isinstance(largest, Tensor) else largest
                    raise ValueError(f"{prefix}.{name}: expected {least} to {most}, got {wrong[0]}")


def check_optimizer(
    saved: Any, optimizer: Optimizer, key: str, parameters: Sequence[Tensor] | None = None
) -> None:
    """Refuses a state dict that is not of the optimizer: its groups and their options, the parameters' states.

    `parameters` have the shapes of the states, in the optimizer's order; None: its own have.
    """
    own = optimizer.state_dict()
    _check_kind(saved, dict, key)
    groups, states = saved.get("param_groups"), saved.get("state")
    _check_kind(groups, list, f"{key}.param_groups")
    if len(groups) != len(own["param_groups"]):
        raise ValueError(f"{key}.param_groups: expected {len(own['param_groups'])} groups, got {len(groups)}")
    for number, (group, like) in enumerate(zip(groups, own["param_groups"], strict=True)):
        _check_group(group, like, f"{key}.param_groups[{number}]")
    if parameters is None:
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    _check_kind(states, dict, f"{key}.state")
    for number, state in states.items():
        if type(number) is not int or not 0 <= number < len(parameters):
            raise ValueError(
                f"{key}.state: expected numbers of {len(parameters)} parameters, got {_shown(number)}"
            )
        _check_kind(state, dict, f"{key}.state[{number}]")
        for name, value in state.items():
            _check_state(value, name, parameters[number], f"{key}.state[{number}].{name}")


def _check_group(group: Any, own: dict[str, Any], key: str) -> None:
    """Refuses a group of other parameters or options."""
    _check_kind(group, dict, key)
    for name in own.keys() - NO_OPTIONS:
        if name not in group:
            raise ValueError(f"{key}.{name}: is missing")
        if type(group[name]) is not type(own[name]) or group[name] != own[name]:
            raise ValueError(f"{key}.{name}: expected {_shown(own[name])}, got {_shown(group[name])}")


def _check_state(value: Any, name: Any, parameter: Tensor, key: str) -> None:
    """Refuses what cannot be a state of a parameter: a tensor like it, or a count of steps."""
    if value is None:  # as torch's SGD has it without momentum
        return
    if name == "step" and type(value) in (int, float):  # as torch's optimizers had it once
        value = torch.tensor(float(value))
    shape = torch.Size() if name == "step" else parameter.shape
    _check_tensor(value, shape, torch.float32 if name == "step" else parameter.dtype, key)
    if name in NEVER_NEGATIVE and (value < 0).any():
        raise ValueError(f"{key}: expected nothing below 0, got {value.min().item():g}")


def check_scaler(saved: Any, scaler: torch.amp.GradScaler, key: str) -> None:
    """Refuses a state dict that is not of the scaler: its options, a scale, and a count of steps."""
    own = scaler.state_dict()
    check_like(saved, own, key)
    bounds = {"scale": (torch.finfo(torch.float32).tiny, 2.0**127), "_growth_tracker": (0, 2**31 - 1)}
    for name, value in saved.items():
        least, most = bounds.get(name, (own[name], own[name]))
        if not least <= value <= most:
            raise ValueError(f"{key}.{name}: expected {least:g} to {most:g}, got {_shown(value)}")


def check_rng(saved: Any, key: str) -> None:
    """Refuses what is no `rng_state`: NumPy would read memory beyond a state by a position that is outside."""
    _check_kind(saved, dict, key)
    check_like({**saved, "cuda": []}, {**rng_state(), "cuda": []}, key)  # of any number of devices
    _check_kind(saved.get("cuda"), list, f"{key}.cuda")
    for index, state in enumerate(saved["cuda"]):
        _check_tensor(state, getattr(state, "shape", ()), torch.uint8, f"{key}.cuda[{index}]")
    words, position = saved["numpy"]["state"]["key"], saved["numpy"]["state"]["pos"]
    if not 0 <= position <= NUMPY_WORDS:
        raise ValueError(f"{key}.numpy.state.pos: expected 0 to {NUMPY_WORDS}, got {position}")
    if ((words < 0) | (words >= 2**32)).any():
        raise ValueError(f"{key}.numpy.state.key: expected words of 32 bits")


def _check_tensor(value: Any, shape: Any, dtype: torch.dtype, key: str) -> None:
    _check_kind(value, Tensor, key)
    if value.shape != shape or value.dtype != dtype or value.layout != torch.strided or value.device.type != "cpu":
        expected, got = f"{dtype} of shape {tuple(shape)}", f"{value.dtype} of shape {tuple(value.shape)}"
        raise ValueError(f"{key}: expected {expected}, got {got}, {value.layout}, on {value.device}")
    _check_finite(value, key)


def _check_finite(value: Tensor, key: str) -> None:
    if not torch.isfinite(value).all():
        raise ValueError(f"{key}: holds numbers that are not finite")


def _check_kind(value: Any, kind: type, key: str) -> None:
    """Refuses another type; a bool is no number."""
    fits = isinstance(value, kind) if kind in (dict, Tensor) else type(value) is kind
    if not fits:
        raise ValueError(f"{key}: expected {kind.__name__}, got {_shown(value)}")


def _shown(value: Any) -> str:
    return f"a {type(value).__name__}" if isinstance(value, (dict, list, Tensor)) else repr(value)[:100]
