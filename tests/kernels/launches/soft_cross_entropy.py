import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.soft_cross_entropy.triton_kernels")
    fp32 = dict.fromkeys(("p_targets", "p_loss", "p_d_loss", "p_statistics"), "*fp32")
    for k in (30, 300, 3000):
        c = triton_kernels.choose_config(k)
        for kernel in ("forward_kernel", "backward_kernel"):
            yield (
                f"{kernel} {k}",
                {
                    "kernel": f"sslfast.kernels.soft_cross_entropy.triton_kernels:{kernel}",
                    "arch": arch,
                    "signature": dict.fromkeys(("p_logits", "p_d_logits"), "*bf16")
                    | fp32
                    | {"units": "i32", "scale": "fp32", "inverse_t": "fp32"},
                    "constants": {"BK": c.BK, "UNIT": triton_kernels.in_units(k)[1]},
                    "multiples_of_16": [],
                    "num_warps": c.num_warps,
                    "num_stages": 3,
                },
            )


LAUNCHES = Launches(cases, wide=("forward_kernel 3000", "backward_kernel 3000"), wide_offsets=True)
