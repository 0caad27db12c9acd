import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.view_augment.triton_kernels")
    pointers = {"p_images": "*u8", "p_draws": "*fp32", "p_rows": "*i64", "p_sums": "*fp32", "p_planes": "*fp32"}
    signature = pointers | {"p_out": "*bf16"} | dict.fromkeys(("N", "H", "W", "S", "RADIUS"), "i32")
    signature |= dict.fromkeys(("mean", "inverse_std"), ["fp32"] * 3)
    for size, crop in ((32, True), (64, True), (128, True), (224, True), (224, False)):
        c = triton_kernels.choose_config(size)
        blocks = -(-size // c.BR)
        shape = {"BR": c.BR, "BW": c.BW}
        source = {"HAS_ROWS": crop, "CROP": crop, **shape}
        kernels = {"view_kernel": source | {"BLOCKS": 1 << (blocks - 1).bit_length()}}
        if blocks > 1:
            kernels |= {"crop_kernel": source, "column_kernel": shape}
        for kernel, constants in kernels.items():
            arguments = getattr(triton_kernels, kernel).arg_names
            case = {
                "kernel": f"{triton_kernels.__name__}:{kernel}",
                "arch": arch,
                "signature": {name: kind for name, kind in signature.items() if name in arguments},
                "constants": constants,
                "multiples_of_16": ["S"],
                "num_warps": c.num_warps,
                "num_stages": 3,
                "maxnreg": c.maxnreg if kernel == "view_kernel" else None,
            }
            yield f"{kernel} {size} {crop}", case


LAUNCHES = Launches(cases)
