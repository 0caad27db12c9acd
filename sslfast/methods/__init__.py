"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.base import Method
from sslfast.methods.cmc import CMC
from sslfast.methods.deepcluster import DeepCluster
from sslfast.methods.deepcluster_v2 import DeepClusterV2
from sslfast.methods.instdisc import InstDisc
from sslfast.methods.moco import MoCoV1, MoCoV2
from sslfast.methods.pcl import PCL
from sslfast.methods.pirl import PIRL
from sslfast.methods.swav import SwAV

METHODS: dict[str, type[Method]] = {
    "cmc": CMC,
    "deepcluster": DeepCluster,
    "deepcluster_v2": DeepClusterV2,
    "instdisc": InstDisc,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "pcl": PCL,
    "pirl": PIRL,
    "swav": SwAV,
}

__all__ = ["METHODS", "Method"]
