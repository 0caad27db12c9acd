"""view_augment's Triton kernels, compiled ahead of time for the GPUs that are named."""

import inspect

import pytest

from tests.kernels.compiled import ARCHITECTURES, assert_compiles


def launches(arch):
    """Every way the kernels are launched, as cases of aot.py, with a word for the test's name."""
    triton_kernels = pytest.importorskip("sslfast.kernels.view_augment.triton_kernels")
    pointers = {"p_images": "*u8", "p_draws": "*fp32", "p_rows": "*i64", "p_sums": "*fp32", "p_planes": "*fp32"}
    signature = pointers | {"p_out": "*bf16"} | dict.fromkeys(("H", "W", "S", "RADIUS"), "i32")
    signature |= dict.fromkeys(("mean", "inverse_std"), ["fp32"] * 3)
    for size, crop in ((32, True), (64, True), (128, True), (224, True), (224, False)):
        c = triton_kernels.config(size)
        blocks = -(-size // c.BR)
        shape = {"BR": c.BR, "BW": c.BW}
        source = {"HAS_ROWS": crop, "CROP": crop, **shape}
        kernels = {"view_kernel": source | {"BLOCKS": 1 << (blocks - 1).bit_length()}}
        if blocks > 1:
            kernels |= {"gray_kernel": source, "column_kernel": shape}
        for kernel, constants in kernels.items():
            arguments = getattr(triton_kernels, kernel).arg_names
            case = {
                "kernel": f"{triton_kernels.__name__}:{kernel}",
                "arch": arch,
                "signature": {name: kind for name, kind in signature.items() if name in arguments},
                "constants": constants,
                "multiples_of_16": [],
                "num_warps": c.num_warps,
                "num_stages": 3,
                "maxnreg": c.maxnreg if kernel == "view_kernel" else None,
            }
            yield f"{kernel} {size} {crop}", case


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_kernels_compile_ahead_of_time(arch):
    assert_compiles(launches(arch))


def test_offsets_of_samples_are_int64():
    """A data set, and a batch of views, may have more than 2^31 numbers; an image has fewer."""
    triton_kernels = pytest.importorskip("sslfast.kernels.view_augment.triton_kernels")
    from sslfast.kernels.view_augment import triton_pixels

    source = inspect.getsource(triton_kernels) + inspect.getsource(triton_pixels)
    assert source.count("i_b, i_r = tl.program_id(0).to(tl.int64), tl.program_id(1)") == 3
    assert "p_rows,  # [B] int64" in source
    assert "image * H * W * 3" in source
    assert "i_b * 3 * S * S" in source
    assert "3 * (i_b * S + o_y) * S" in source
