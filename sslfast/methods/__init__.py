"""The methods, by the name that recipes use. Adding one: its file here, its line below, a recipe, a test."""

from sslfast.methods.base import Method
from sslfast.methods.context_prediction import ContextPrediction
from sslfast.methods.cpc import CPCV1, CPCV2
from sslfast.methods.exemplar import Exemplar
from sslfast.methods.jigsaw import Jigsaw
from sslfast.methods.moco import MoCoV1, MoCoV2
from sslfast.methods.rotation import Rotation

METHODS: dict[str, type[Method]] = {
    "context_prediction": ContextPrediction,
    "cpc_v1": CPCV1,
    "cpc_v2": CPCV2,
    "exemplar": Exemplar,
    "jigsaw": Jigsaw,
    "moco_v1": MoCoV1,
    "moco_v2": MoCoV2,
    "rotation": Rotation,
}

__all__ = ["METHODS", "Method"]
