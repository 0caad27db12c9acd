import pytest

from tests.kernels.launches import Launches

FORWARD = ("partial_kernel", "merge_kernel", "row_kernel")  # the others are of the gradient


def cases(arch):
    """Yields every way the kernels are launched, as cases of aot.py, each after a word for messages."""
    triton_launch = pytest.importorskip("sslfast.kernels.sup_con.triton_launch")
    halved = pytest.importorskip("sslfast.kernels.nt_xent.triton_launch")
    fp32 = "top sum count tops sums counts loss log_sum d_loss push pull shifted numbers dz products pair parts"
    types = {f"p_{name}": "*fp32" for name in fp32.split()}
    types |= dict.fromkeys(("p_positive", "p_positives"), "*fp64")
    types |= dict.fromkeys(("p_features", "p_weights"), "*bf16") | {"p_above": "*i32", "p_positive_rank": "*i64"}
    numbers = "M D size split_rows split_turns parts positive_parts first rows"
    types |= dict.fromkeys(numbers.split(), "i32") | {"scale": "fp32", "inverse_t": "fp32"}

    def case(kernel, constants, num_warps, labeled=True, num_stages=3, **meant):
        labels = {"p_labels": "*i64"} if labeled else {}
        module = "triton_forward" if kernel in FORWARD else "triton_gradient"
        crowded = f" maxnreg={meant['maxnreg']}" if meant.get("maxnreg") else ""
        return f"{kernel} {constants} labels={labeled}{crowded}", {
            "kernel": f"sslfast.kernels.sup_con.{module}:{kernel}",
            "arch": arch,
            "signature": {name: kind for name, kind in (types | labels).items() if name not in constants},
            "constants": constants if labeled else constants | {"p_labels": None},
            "multiples_of_16": ["M", "D", "size", "split_rows"],
            "num_warps": num_warps,
            "num_stages": num_stages,
        } | meant

    def pair_case(kernel, constants, num_warps, **meant):
        _, of_sup_con = case(kernel, constants, num_warps, **meant)
        return f"{kernel} {constants}", of_sup_con | {"kernel": f"sslfast.kernels.nt_xent.triton_kernels:{kernel}"}

    shapes = (8192, 128, True), (8192, 256, True), (8192, 128, False)
    gradients = [*((8176, *shape[1:]) for shape in shapes), (8192, 64, False)]  # of tiles that are not whole, too
    roomy = arch in (80, 90)
    if roomy:
        gradients.append((2048, 128, False))  # of too few rows for more blocks
    for kernel, m, d, labeled in [
        *((kernel, *shape) for shape in shapes for kernel in ("partial_kernel", "gradient_kernel")),
        *(("gradient_kernel", *shape) for shape in gradients),
    ]:
        backward = kernel == "gradient_kernel"
        gpu = 132, arch in (90, 100)
        c = triton_launch.choose_config(m, d, *gpu, labeled=labeled, backward=backward, roomy=roomy)
        tile = {"BM": c.BM, "BN": c.BN, "BD": c.BD}
        meant = {"blocks": 1 if arch == 120 else c.blocks}
        if backward:
            tile |= {"WHOLE": c.WHOLE}
            meant |= {"maxnreg": c.maxnreg, "powers": c.BN // 2}  # one a weight: 32 threads have 16 rows
        else:
            tile |= {"NEED_POSITIVE_RANK": False, "p_pair": None, "p_above": None}
        yield case(kernel, tile, c.num_warps, labeled, c.num_stages, **meant)
    for parts, shifted in ((16, False), (65, True)):
        bs, bm = triton_launch.merge_config(parts)
        yield case("merge_kernel", {"BS": bs, "BM": bm, "SHIFTED": shifted}, 4)
    for mean in (False, True):
        tile = {"BM": triton_launch.PREPARE_BM, "MEAN": mean}
        yield case("prepare_kernel", tile, triton_launch.PREPARE_WARPS)
    for parts in (2, 16):
        bs, be = triton_launch.sum_config(parts)
        yield case("sum_kernel", {"BS": bs, "BE": be}, 4)
    no_positive_rank = {"NEED_POSITIVE_RANK": False, "p_pair": None, "p_positive_rank": None}
    yield case("row_kernel", {"BM": 4, "BN": 512} | no_positive_rank, 8)
    yield case("weight_kernel", {"BM": 16, "BN": 128}, 4)
    for d, ranked in ((128, False), (128, True), (64, False)) if arch != 100 else ():
        c = halved.choose_config(8192, d, 132, arch == 90)
        tile = {"BM": c.BM, "BD": c.BD, "NEED_POSITIVE_RANK": ranked}
        tile |= {} if ranked else {"p_pair": None, "p_above": None}
        powers = c.BM * c.BM // (32 * c.num_warps)  # one a product
        blocks = 1 if arch == 120 else c.blocks
        yield pair_case("tile_kernel", tile, c.num_warps, num_stages=c.num_stages, blocks=blocks, powers=powers)
    yield pair_case("rank_kernel", {"BS": halved.MERGE_BS, "BM": halved.MERGE_BM}, 4)


PRODUCTS = "partial", "gradient", "tile"
LAUNCHES = Launches(cases, wgmma=PRODUCTS, streams=PRODUCTS, wide=(*PRODUCTS, "prepare", "sum"))
