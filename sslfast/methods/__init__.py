"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.barlow_twins import BarlowTwins
from sslfast.methods.base import Method
from sslfast.methods.byol import BYOL
from sslfast.methods.moco import MoCoV1, MoCoV2
from sslfast.methods.moco_v3 import MoCoV3
from sslfast.methods.nnclr import NNCLR
from sslfast.methods.simclr import SimCLR
from sslfast.methods.simsiam import SimSiam
from sslfast.methods.supcon import SupCon

METHODS: dict[str, type[Method]] = {
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "moco_v3": MoCoV3,
    "nnclr": NNCLR,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "supcon": SupCon,
}

__all__ = ["METHODS", "Method"]
