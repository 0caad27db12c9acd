"""The losses and layers of `sslfast.kernels` as modules.

Inputs are used as given: normalize the embeddings before InfoNCELoss, InBatchInfoNCELoss, CLIPLoss, SupConLoss,
and the features and prototypes behind SwAVLoss's scores. Where the name says so the module does it: NTXentLoss
("normalized temperature-scaled") and NegativeCosineSimilarity normalize the embeddings, BarlowTwinsLoss
standardizes them over the batch, and AlignedPooling normalizes its maps.

`cached_backward` gives the gradients of a large batch chunk by chunk. `sslfast.nn.compat` has modules that take
the place of other packages' losses.
"""

from sslfast.nn.aligned_pooling import AlignedPooling
from sslfast.nn.barlow_twins import BarlowTwinsLoss
from sslfast.nn.clip import CLIPLoss
from sslfast.nn.grad_cache import cached_backward
from sslfast.nn.info_nce import InBatchInfoNCELoss, InfoNCELoss
from sslfast.nn.negative_cosine import NegativeCosineSimilarity
from sslfast.nn.nt_xent import NTXentLoss
from sslfast.nn.sup_con import SupConLoss
from sslfast.nn.swav import SwAVLoss

__all__ = [
    "AlignedPooling",
    "BarlowTwinsLoss",
    "CLIPLoss",
    "InBatchInfoNCELoss",
    "InfoNCELoss",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SupConLoss",
    "SwAVLoss",
    "cached_backward",
]
