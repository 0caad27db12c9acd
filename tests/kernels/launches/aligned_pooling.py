import pytest
import torch

from tests.kernels.launches import Launches


def cases(arch):
    """Every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.aligned_pooling.triton_kernels")
    fp32 = dict.fromkeys(("p_inverse_norms", "p_inverse_sums", "p_d_weights", "p_means"), "*fp32")
    numbers = dict.fromkeys(("groups", "d", "V", "E", "P", "s_b", "s_e", "s_p"), "i32")

    def case(name, kernel, kind, constants, num_warps=4, num_stages=3):
        given = dict.fromkeys(
            ("p_features", "p_maps", "p_pooled", "p_d_pooled", "p_d_features", "p_d_maps"), f"*{kind}"
        )
        signature = {key: value for key, value in (given | fp32 | numbers).items() if key not in constants}
        return f"{name} {kind}", {
            "kernel": f"sslfast.kernels.aligned_pooling.triton_kernels:{kernel}",
            "arch": arch,
            "signature": signature,
            "constants": constants,
            "multiples_of_16": ["d", "V", "E", "s_b", "s_p"] if constants.get("s_e") == 1 else ["d", "V", "E"],
            "num_warps": num_warps,
            "num_stages": num_stages,
        }

    for kind, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32)):
        configs = triton_kernels.choose_configs(64, dtype)
        for layout, stride in (("channels last", {"s_e": 1}), ("contiguous", {"s_p": 1})):
            for product, c in configs._asdict().items():
                tile = {"BV": c.BV, "BE": c.BE, "BP": c.BP, "INTERLEAVED": False} | stride
                kernel = f"{product}_kernel"
                yield case(f"{kernel} {layout}", kernel, kind, tile, c.num_warps, c.num_stages)
        plain = {"BC": triton_kernels.ROWS, "BP": triton_kernels.COLUMNS}
        yield case("norm", "norm_kernel", kind, plain)
        yield case("sum", "sum_kernel", kind, plain | {"BACKWARD": False, "p_d_weights": None, "p_means": None})
        yield case("mean", "sum_kernel", kind, plain | {"BACKWARD": True})
        yield case("maps_grad", "maps_grad_kernel", kind, plain)


PRODUCTS = "pool_kernel", "features_grad_kernel", "weights_grad_kernel"
LAUNCHES = Launches(cases, streams=PRODUCTS, wide="weights_grad_kernel channels last")
