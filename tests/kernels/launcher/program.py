"""Calls the ops' Triton implementations through Triton's own launcher, on a stand-in for CUDA's driver.

A program, as Triton chooses its driver once: it compiles for the GPU of the environment's GPU_* variables, takes
tensors of the host for the GPU's, and launches. Nothing runs on them, so what the ops return is noise. Arguments:
the calls to make, by their names in `calls.py`. Writes how many kernels each has launched, as JSON.
"""

import ctypes
import importlib
import json
import os
import pkgutil
import sys
from collections import Counter

import torch
import triton
from triton.backends.nvidia import driver as nvidia
from triton.runtime import driver

from sslfast import kernels
from sslfast.kernels.common import op
from tests.kernels.launcher.calls import CALLS

MAJOR, MINOR = divmod(int(os.environ["GPU_CAPABILITY"]), 10)
# The answers of `kernels.common.launch` and `.tma`, which ask torch about the GPU of a tensor.
ANSWERS = {
    "processors": int(os.environ["GPU_PROCESSORS"]),
    "shared_memory": int(os.environ["GPU_SHARED_MEMORY"]),
    "has_warpgroups": MAJOR in (9, 10),
    "has_tensor_memory": MAJOR == 10,
    "is_hopper": MAJOR == 9,
}


class Driver(nvidia.CudaDriver):
    """Triton's driver of a GPU that only the stand-in knows."""

    def __init__(self):  # the base's asks torch for the GPU
        self.utils = nvidia.CudaUtils()
        self.launcher_cls = nvidia.CudaLauncher
        self.get_current_device = lambda: 0
        self.get_current_stream = lambda device: 0
        self.get_device_capability = lambda device: (MAJOR, MINOR)


def answer_for_the_gpu():
    """Puts the answers in place of the questions, in every module that asks them."""
    for module in pkgutil.walk_packages(kernels.__path__, f"{kernels.__name__}."):
        found = importlib.import_module(module.name)
        for name in ANSWERS.keys() & vars(found).keys():
            setattr(found, name, lambda tensor, value=ANSWERS[name]: value)
    tma = importlib.import_module("sslfast.kernels.common.tma")
    tma._allocate = lambda size, alignment, stream: torch.empty(size, dtype=torch.int8)
    op.INTERPRET = True  # which lets Triton take tensors of the host


def counted(launched):
    """Counts the launches by the kernels' names, and names the kernel in the error of one that is refused."""
    launch = triton.runtime.jit.JITFunction.run

    def run(kernel, *args, **options):
        try:
            result = launch(kernel, *args, **options)
        except RuntimeError as error:
            raise RuntimeError(f"{kernel.__name__}: {error}") from error
        launched[kernel.__name__] += 1
        return result

    triton.runtime.jit.JITFunction.run = run


def main(names):
    ctypes.CDLL(os.environ["GPU_DRIVER"], mode=ctypes.RTLD_GLOBAL)  # before Triton asks for a library of its name
    driver.set_active(Driver())
    answer_for_the_gpu()
    launched, found = Counter(), {}
    counted(launched)
    for name in names:
        launched.clear()
        try:
            CALLS[name]()
        except RuntimeError as error:
            raise RuntimeError(f"{name}: {error}") from error
        found[name] = dict(launched)
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1:])
