"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.align_uniform import AlignUniform
from sslfast.methods.barlow_twins import BarlowTwins
from sslfast.methods.base import Method
from sslfast.methods.byol import BYOL
from sslfast.methods.cmc import CMC
from sslfast.methods.context_encoder import ContextEncoder
from sslfast.methods.context_prediction import ContextPrediction
from sslfast.methods.cpc_v1 import CPCV1
from sslfast.methods.cpc_v2 import CPCV2
from sslfast.methods.dcl import DCL
from sslfast.methods.deepcluster import DeepCluster
from sslfast.methods.deepcluster_v2 import DeepClusterV2
from sslfast.methods.densecl import DenseCL
from sslfast.methods.dino import DINO
from sslfast.methods.exemplar import Exemplar
from sslfast.methods.fast_moco import FastMoCo
from sslfast.methods.ibot import IBOT
from sslfast.methods.instdisc import InstDisc
from sslfast.methods.jigsaw import Jigsaw
from sslfast.methods.jigsaw_clustering import JigsawClustering
from sslfast.methods.lewel_b import LEWELB
from sslfast.methods.lewel_m import LEWELM
from sslfast.methods.local_aggregation import LocalAggregation
from sslfast.methods.mae import MAE
from sslfast.methods.mncl import MNCL
from sslfast.methods.moco_v1 import MoCoV1
from sslfast.methods.moco_v2 import MoCoV2
from sslfast.methods.moco_v3 import MoCoV3
from sslfast.methods.msf import MSF
from sslfast.methods.nnclr import NNCLR
from sslfast.methods.pcl import PCL
from sslfast.methods.pirl import PIRL
from sslfast.methods.pixpro import PixPro
from sslfast.methods.resim import ReSim
from sslfast.methods.rotation import Rotation
from sslfast.methods.simclr import SimCLR
from sslfast.methods.simsiam import SimSiam
from sslfast.methods.supcon import SupCon
from sslfast.methods.supervised import Supervised
from sslfast.methods.swav import SwAV
from sslfast.methods.vicreg import VICReg

METHODS: dict[str, type[Method]] = {
    "align_uniform": AlignUniform,
    "barlow_twins": BarlowTwins,
    "byol": BYOL,
    "cmc": CMC,
    "context_encoder": ContextEncoder,
    "context_prediction": ContextPrediction,
    "cpc_v1": CPCV1,
    "cpc_v2": CPCV2,
    "dcl": DCL,
    "deepcluster": DeepCluster,
    "deepcluster_v2": DeepClusterV2,
    "densecl": DenseCL,
    "dino": DINO,
    "exemplar": Exemplar,
    "fast_moco": FastMoCo,
    "ibot": IBOT,
    "instdisc": InstDisc,
    "jigsaw": Jigsaw,
    "jigsaw_clustering": JigsawClustering,
    "lewel_b": LEWELB,
    "lewel_m": LEWELM,
    "local_aggregation": LocalAggregation,
    "mae": MAE,
    "mncl": MNCL,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "moco_v3": MoCoV3,
    "msf": MSF,
    "nnclr": NNCLR,
    "pcl": PCL,
    "pirl": PIRL,
    "pixpro": PixPro,
    "resim": ReSim,
    "rotation": Rotation,
    "simclr": SimCLR,
    "simsiam": SimSiam,
    "supcon": SupCon,
    "supervised": Supervised,
    "swav": SwAV,
    "vicreg": VICReg,
}

__all__ = ["METHODS", "Method"]
