"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.base import Method
from sslfast.methods.densecl import DenseCL
from sslfast.methods.fast_moco import FastMoCo
from sslfast.methods.lewel_b import LEWELB
from sslfast.methods.lewel_m import LEWELM
from sslfast.methods.mncl import MNCL
from sslfast.methods.moco import MoCoV1, MoCoV2

METHODS: dict[str, type[Method]] = {
    "densecl": DenseCL,
    "fast_moco": FastMoCo,
    "lewel_b": LEWELB,
    "lewel_m": LEWELM,
    "mncl": MNCL,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
}

__all__ = ["METHODS", "Method"]
