import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.cross_correlation_loss.triton_kernels")
    signature = dict.fromkeys(("p_z1", "p_z2", "p_a", "p_b", "p_z", "p_other"), "*bf16")
    signature |= dict.fromkeys(("p_mean", "p_mean_other", "p_rstd", "p_rstd_other"), "*fp32")
    signature |= dict.fromkeys(("p_c", "p_dz", "p_x", "p_y", "p_sums"), "*fp32")
    signature |= {"N": "i32", "D": "i32", "M": "i32", "epsilon": "fp32", "scale": "fp32", "lambd": "fp32"}
    tile = {"BN": triton_kernels.BN, "BD": triton_kernels.BD}
    for name, constants in (
        ("normalize_kernel", tile),
        ("squares_kernel", {"BC": triton_kernels.BC}),
        ("gradient_kernel", tile),
    ):
        yield (
            name,
            {
                "kernel": f"{triton_kernels.__name__}:{name}",
                "arch": arch,
                "signature": signature,
                "constants": constants,
                "multiples_of_16": ["N", "D", "M"],
                "num_warps": 4,
                "num_stages": 3,
            },
        )


LAUNCHES = Launches(cases, wide=("normalize", "squares", "gradient"))
