"""The settings of each protocol, for which nobody waits: torch is not imported."""

from sslfast.evaluation.detection.config import DetectConfig
from sslfast.evaluation.finetune_config import FinetuneConfig
from sslfast.evaluation.knn_config import KNNConfig
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.options import EvaluationConfig
from sslfast.evaluation.segmentation.config import SegmentConfig

CONFIGS: dict[str, type[EvaluationConfig]] = {  # as `protocols.PROTOCOLS` has them
    "knn": KNNConfig,
    "linear": LinearConfig,
    "finetune": FinetuneConfig,
    "segment": SegmentConfig,
    "detect": DetectConfig,
}
