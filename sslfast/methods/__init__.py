"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.barlow_twins import BarlowTwins
from sslfast.methods.base import Method
from sslfast.methods.byol import BYOL
from sslfast.methods.context_prediction import ContextPrediction
from sslfast.methods.cpc import CPCV1, CPCV2
from sslfast.methods.densecl import DenseCL
from sslfast.methods.exemplar import Exemplar
from sslfast.methods.fast_moco import FastMoCo
from sslfast.methods.jigsaw import Jigsaw
from sslfast.methods.lewel_b import LEWELB
from sslfast.methods.lewel_m import LEWELM
from sslfast.methods.mncl import MNCL
from sslfast.methods.moco import MoCoV1, MoCoV2
from sslfast.methods.moco_v3 import MoCoV3
from sslfast.methods.nnclr import NNCLR
from sslfast.methods.rotation import Rotation
from sslfast.methods.simclr import SimCLR
from sslfast.methods.simsiam import SimSiam
from sslfast.methods.supcon import SupCon

METHODS: dict[str, type[Method]] = {
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "context_prediction": ContextPrediction,
    "cpc_v1": CPCV1,
    "cpc_v2": CPCV2,
    "densecl": DenseCL,
    "exemplar": Exemplar,
    "fast_moco": FastMoCo,
    "jigsaw": Jigsaw,
    "lewel_b": LEWELB,
    "lewel_m": LEWELM,
    "mncl": MNCL,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "moco_v3": MoCoV3,
    "nnclr": NNCLR,
    "rotation": Rotation,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "supcon": SupCon,
}

__all__ = ["METHODS", "Method"]
