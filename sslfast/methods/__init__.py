"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.base import Method
from sslfast.methods.deepcluster import DeepCluster
from sslfast.methods.deepcluster_v2 import DeepClusterV2
from sslfast.methods.moco import MoCoV1, MoCoV2
from sslfast.methods.pcl import PCL
from sslfast.methods.swav import SwAV

METHODS: dict[str, type[Method]] = {
    "deepcluster": DeepCluster,
    "deepcluster_v2": DeepClusterV2,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "pcl": PCL,
    "swav": SwAV,
}

__all__ = ["METHODS", "Method"]
