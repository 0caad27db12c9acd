import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields the way the kernel is launched, as a case of aot.py, after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.enqueue.triton_kernels")
    pointers = {"p_queue": "*fp32", "p_keys": "*bf16", "p_pointer": "*i64", "p_skip": "*i1"}
    yield (
        "enqueue",
        {
            "kernel": f"{triton_kernels.__name__}:enqueue_kernel",
            "arch": arch,
            "signature": pointers | dict.fromkeys(("K", "D", "N"), "i32"),
            "constants": {"HAS_SKIP": True, "BN": triton_kernels.BN, "BD": triton_kernels.BD},
            "multiples_of_16": ["K", "D", "N"],
            "num_warps": 4,
            "num_stages": 3,
        },
    )


LAUNCHES = Launches(cases)
