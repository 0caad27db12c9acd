import pytest
import torch

from tests.kernels.launches import Launches

# The strides of a kernel's tensors: over images, channels and positions.
STRIDES = {
    "norm_kernel": ["s_mb s_mc s_mp"],
    "pool_kernel": ["s_fb s_fe s_fp", "s_mb s_mc s_mp"],
    "features_grad_kernel": ["s_mb s_mc s_mp", "s_db s_de s_dp"],
    "weights_grad_kernel": ["s_fb s_fe s_fp", "s_mb s_mc s_mp", "s_db s_de s_dp"],
    "maps_grad_kernel": ["s_mb s_mc s_mp"],
}


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    launch = pytest.importorskip("sslfast.kernels.aligned_pooling.triton_launch")
    fp32 = dict.fromkeys(("p_inverse_norms", "p_inverse_sums", "p_d_weights", "p_means"), "*fp32")
    numbers = dict.fromkeys(("groups", "V", "E", "P"), "i32")

    def case(kernel, layout, kind, constants, num_warps=4, num_stages=3):
        given = dict.fromkeys(
            ("p_features", "p_maps", "p_pooled", "p_d_pooled", "p_d_features", "p_d_maps"), f"*{kind}"
        )
        images, channels, positions = zip(*map(str.split, STRIDES[kernel]), strict=True)
        ones, rows = (channels, positions) if layout == "channels last" else (positions, channels)
        constants = constants | dict.fromkeys(ones, 1)
        strides = dict.fromkeys((*images, *rows), "i32")
        arguments = given | fp32 | numbers | strides
        signature = {key: value for key, value in arguments.items() if key not in constants}
        both = f" with features of {constants['BV']}" if constants.get("FEATURES") else ""
        return f"{kernel} {layout} {kind}{both}", {
            "kernel": f"sslfast.kernels.aligned_pooling.triton_kernels:{kernel}",
            "arch": arch,
            "signature": signature,
            "constants": constants,
            "multiples_of_16": ["V", "E", *images, *(rows if layout == "channels last" else ())],
            "num_warps": num_warps,
            "num_stages": num_stages,
            "blocks": 2 if arch == 90 else 1,
        }

    for kind, dtype, few, many in (("bf16", torch.bfloat16, 64, 128), ("fp32", torch.float32, 16, 64)):
        for layout in ("channels last", "contiguous"):
            for vectors in (few, many):
                configs = launch.choose_configs(vectors, dtype, layout == "channels last")
                for product, c in configs._asdict().items():
                    if c is None or (vectors == many and product != "both"):
                        continue
                    tile = {"BV": c.BV, "BE": c.BE, "BP": c.BP, "INTERLEAVED": False}
                    kernel = f"{product}_kernel"
                    if product in ("weights_grad", "both"):
                        kernel, tile["FEATURES"] = "weights_grad_kernel", product == "both"
                    yield case(kernel, layout, kind, tile, c.num_warps, c.num_stages)
            plain = {"d": launch.CHANNELS, "BC": launch.CHANNELS, "BP": launch.POSITIONS}
            yield case("norm_kernel", layout, kind, plain)
            yield case("maps_grad_kernel", layout, kind, plain | {"tiles": 4, "BT": 4})


PRODUCTS = "pool_kernel", "features_grad_kernel", "weights_grad_kernel"
LAUNCHES = Launches(cases, streams=PRODUCTS, wide=tuple(f"{kernel} channels last" for kernel in STRIDES))
