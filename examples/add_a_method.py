"""A method of one's own, with a moving average, is trained and judged as those of sslfast are.

python examples/add_a_method.py --data shapes train.epochs=8
"""

import argparse
from typing import Literal

import torch.nn.functional as F
from pydantic.dataclasses import dataclass
from torch import nn

import sslfast
from sslfast.config.fields import STRICT, Count
from sslfast.methods import Method
from sslfast.methods.parts.hypersphere import alignment, uniformity
from sslfast.methods.parts.momentum_copy import MomentumCopy, MomentumCopyConfig


@dataclass(config=STRICT)
class FollowConfig(MomentumCopyConfig):
    name: Literal["follow"]
    dim: Count = 64
    """Width of an embedding."""


class Follow(Method):
    """An embedding lies near that of the other view by a moving average, and far from those of other images."""

    Config, num_views = FollowConfig, 2
    defaults = {  # noqa: RUF012
        "encoder": {"stem": "cifar", "width": 0.25},
        "data.views": [{"scale": [0.4, 1.0], "hue": 0.05, "grayscale": 0}] * 2,
        "optim": {"name": "adamw", "lr": 0.003, "weight_decay": 0.05, "warmup_epochs": 1},
        "train": {"epochs": 8, "knn_every": 1},
    }

    def __init__(self, recipe, encoder, num_images):
        super().__init__(recipe, encoder, num_images)
        self.head = nn.Linear(encoder.feature_dim, self.config.dim)
        self.target = MomentumCopy(nn.Sequential(encoder, self.head), buffers=self.config.target_norm)

    def loss(self, batch):
        z = F.normalize(self.head(self.encoder(batch.views[0])), dim=1)
        align, uniform = alignment(z, F.normalize(self.target(batch.views[1]), dim=1)), uniformity(z)
        return align + uniform / 2, {"alignment": align.detach(), "uniformity": uniform.detach()}, None

    def momentum_copy(self):
        return self.target  # moves with the optimizer's step, in the same pass

    def momentum(self, step, total_steps):
        return self.config.momentum_at(step, total_steps)


parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
parser.add_argument("settings", nargs="*", help="settings over the method's defaults, key.sub=value")
parser.add_argument("--data", default="shapes", help="a folder, a data set of torchvision, or shapes")
parser.add_argument("--out", default="runs/follow")
args = parser.parse_intermixed_args()

run = sslfast.pretrain(Follow, args.out, data=args.data, overrides=args.settings, resume=True)
print(run.evaluate("knn").table())  # beside random weights
