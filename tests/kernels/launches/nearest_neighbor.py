import pytest

from tests.kernels.launches import Launches


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_kernels = pytest.importorskip("sslfast.kernels.nearest_neighbor.triton_kernels")
    pointers = {"p_inverse": "*fp32", "p_products": "*fp32", "p_similarity": "*fp32"}
    pointers |= {"p_keys": "*i64", "p_indices": "*i64"} | dict.fromkeys(("p_query", "p_queue", "p_rows"), "*bf16")
    numbers = dict.fromkeys(("N", "K", "D", "R", "C", "k", "split_rows", "splits", "first", "overlap"), "i32")

    def case(name, kernel, constants, num_warps, num_stages=3, blocks=1, **wide):
        return name, {
            "kernel": f"sslfast.kernels.nearest_neighbor.triton_kernels:{kernel}",
            "arch": arch,
            "signature": pointers | numbers | wide,
            "constants": constants,
            "multiples_of_16": ["N", "K", "D", "C", "split_rows"],
            "num_warps": num_warps,
            "num_stages": num_stages,
            "blocks": 1 if arch == 120 else blocks,
        }

    def tile(c, top):
        return {"BN": c.BN, "BK": c.BK, "BD": c.BD, "TOP": top, "TMA": False, "WHOLE": False}

    widths = (64, 128) if arch == 120 else (64, 128, 256, 512)  # what shared memory holds; see MAX_SMALL_D
    for d in widths:
        for top in (1, 8):
            c = triton_kernels.choose_config((4096, 98304, d), top, processors=132)
            blocks = 1 if top == 1 or (d == 512 and arch == 80) else 2
            yield case(f"partial {d} top {top}", "partial_kernel", tile(c, top), c.num_warps, c.num_stages, blocks)
        c = triton_kernels.choose_config((4096, 98304, d), 1, processors=132)
        normalized = tile(c, 1) | {"p_inverse": None}
        yield case(f"partial {d} normalized", "partial_kernel", normalized, c.num_warps, c.num_stages)
    for d in (64, 128, 256) if arch in (90, 100) else ():
        c = triton_kernels.choose_tma_config((4096, 98304, d), 132, arch == 90)
        by_tma = tile(c, 1) | {"TMA": True, "WHOLE": True}
        yield case(f"tma {d}", "partial_kernel", by_tma, c.num_warps, c.num_stages)
        for whole in (True, False) if d == 256 else (True,):
            normalized = by_tma | {"WHOLE": whole, "p_inverse": None}
            name = f"tma {d} normalized{'' if whole else ', last tile cut'}"
            yield case(name, "partial_kernel", normalized, c.num_warps, c.num_stages)
    yield case("select", "select_kernel", {"BC": 16384, "TOP": 8}, 8)
    yield case("select beyond 2^31", "select_kernel", {"BC": 1024, "TOP": 1}, 8, first="i64")
    yield case("merge", "merge_kernel", {"BS": 128, "TOP": 8}, 1)
    yield case("length", "length_kernel", {"BR": 16, "BD": 256}, 4)


LAUNCHES = Launches(
    cases, wgmma=("partial", "tma"), streams="partial", specialized="tma", wide=("partial", "length")
)
