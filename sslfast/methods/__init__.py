"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sslfast.lazy import LazyMapping, on_first_use

if TYPE_CHECKING:
    from sslfast.methods.base import Method
else:
    __getattr__ = on_first_use(__name__, {"Method": "sslfast.methods.base:Method"})

# A method is imported where it is used: torch takes seconds, which `sslfast list` should not.
METHODS: LazyMapping[type[Method]] = LazyMapping(
    {
        "align_uniform": "sslfast.methods.align_uniform:AlignUniform",
        "barlow_twins": "sslfast.methods.barlow_twins:BarlowTwins",
        "byol": "sslfast.methods.byol:BYOL",
        "cmc": "sslfast.methods.cmc:CMC",
        "context_encoder": "sslfast.methods.context_encoder:ContextEncoder",
        "context_prediction": "sslfast.methods.context_prediction:ContextPrediction",
        "cpc_v1": "sslfast.methods.cpc_v1:CPCV1",
        "cpc_v2": "sslfast.methods.cpc_v2:CPCV2",
        "dcl": "sslfast.methods.dcl:DCL",
        "deepcluster": "sslfast.methods.deepcluster:DeepCluster",
        "deepcluster_v2": "sslfast.methods.deepcluster_v2:DeepClusterV2",
        "densecl": "sslfast.methods.densecl:DenseCL",
        "dino": "sslfast.methods.dino:DINO",
        "exemplar": "sslfast.methods.exemplar:Exemplar",
        "fast_moco": "sslfast.methods.fast_moco:FastMoCo",
        "ibot": "sslfast.methods.ibot:IBOT",
        "instdisc": "sslfast.methods.instdisc:InstDisc",
        "jigsaw": "sslfast.methods.jigsaw:Jigsaw",
        "jigsaw_clustering": "sslfast.methods.jigsaw_clustering:JigsawClustering",
        "lewel_b": "sslfast.methods.lewel_b:LEWELB",
        "lewel_m": "sslfast.methods.lewel_m:LEWELM",
        "local_aggregation": "sslfast.methods.local_aggregation:LocalAggregation",
        "mae": "sslfast.methods.mae:MAE",
        "mncl": "sslfast.methods.mncl:MNCL",
        "moco_v1": "sslfast.methods.moco_v1:MoCoV1",
        "moco_v2": "sslfast.methods.moco_v2:MoCoV2",
        "moco_v3": "sslfast.methods.moco_v3:MoCoV3",
        "msf": "sslfast.methods.msf:MSF",
        "nnclr": "sslfast.methods.nnclr:NNCLR",
        "pcl": "sslfast.methods.pcl:PCL",
        "pirl": "sslfast.methods.pirl:PIRL",
        "pixpro": "sslfast.methods.pixpro:PixPro",
        "resim": "sslfast.methods.resim:ReSim",
        "rotation": "sslfast.methods.rotation:Rotation",
        "simclr": "sslfast.methods.simclr:SimCLR",
        "simsiam": "sslfast.methods.simsiam:SimSiam",
        "supcon": "sslfast.methods.supcon:SupCon",
        "supervised": "sslfast.methods.supervised:Supervised",
        "swav": "sslfast.methods.swav:SwAV",
        "vicreg": "sslfast.methods.vicreg:VICReg",
    }
)

__all__ = ["METHODS", "Method"]
