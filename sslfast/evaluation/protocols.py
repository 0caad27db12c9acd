"""The protocols that judge an encoder.

Adding one: its file here, its line below, that of its settings in `configs`, a test.
"""

from typing import Any

from sslfast.evaluation.detection.protocol import DETECT
from sslfast.evaluation.finetune import FINETUNE
from sslfast.evaluation.knn import KNN
from sslfast.evaluation.linear.protocol import LINEAR
from sslfast.evaluation.protocol import Protocol
from sslfast.evaluation.segmentation.protocol import SEGMENT

# A protocol's images are of its own type, which only its own functions see.
PROTOCOLS: dict[str, Protocol[Any]] = {
    "knn": KNN,
    "linear": LINEAR,
    "finetune": FINETUNE,
    "segment": SEGMENT,
    "detect": DETECT,
}
