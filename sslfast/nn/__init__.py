"""The losses and layers of `sslfast.kernels` as modules.

Inputs are used as given: normalise the embeddings before InfoNCELoss, InBatchInfoNCELoss, SupConLoss, and the
features and prototypes behind SwAVLoss's scores. Where the name says so the module does it: NTXentLoss
("normalized temperature-scaled") and NegativeCosineSimilarity normalise the embeddings, BarlowTwinsLoss
standardises them over the batch, and AlignedPooling normalises its maps.

`sslfast.nn.compat` has modules that take the place of other packages' losses.
"""

from sslfast.nn.aligned_pooling import AlignedPooling
from sslfast.nn.barlow_twins import BarlowTwinsLoss
from sslfast.nn.info_nce import InBatchInfoNCELoss, InfoNCELoss
from sslfast.nn.negative_cosine import NegativeCosineSimilarity
from sslfast.nn.nt_xent import NTXentLoss
from sslfast.nn.sup_con import SupConLoss
from sslfast.nn.swav import SwAVLoss

__all__ = [
    "AlignedPooling",
    "BarlowTwinsLoss",
    "InBatchInfoNCELoss",
    "InfoNCELoss",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "SupConLoss",
    "SwAVLoss",
]
