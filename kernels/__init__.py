"""Fused kernels for self-supervised pre-training, each usable on its own: `from sslfast import kernels as K`."""

if __name__ == "kernels":
    raise ImportError("this folder is sslfast's: install sslfast and write `from sslfast import kernels`")

from sslfast.kernels.aligned_pooling import aligned_pooling
from sslfast.kernels.common.debug import debug
from sslfast.kernels.common.op import available_impls
from sslfast.kernels.cross_correlation_loss import cross_correlation_loss
from sslfast.kernels.ema_update import ema_update_
from sslfast.kernels.enqueue import enqueue_
from sslfast.kernels.fused_optimizer import adamw_ema_step_, lars_ema_step_, sgd_ema_step_
from sslfast.kernels.in_batch_info_nce import in_batch_info_nce
from sslfast.kernels.info_nce import info_nce
from sslfast.kernels.nearest_neighbor import nearest_neighbor
from sslfast.kernels.nt_xent import nt_xent
from sslfast.kernels.sinkhorn_knopp import sinkhorn_knopp
from sslfast.kernels.soft_cross_entropy import soft_cross_entropy
from sslfast.kernels.sup_con import sup_con
from sslfast.kernels.view_augment import view_augment

__all__ = [
    "adamw_ema_step_",
    "aligned_pooling",
    "available_impls",
    "cross_correlation_loss",
    "debug",
    "ema_update_",
    "enqueue_",
    "in_batch_info_nce",
    "info_nce",
    "lars_ema_step_",
    "nearest_neighbor",
    "nt_xent",
    "sgd_ema_step_",
    "sinkhorn_knopp",
    "soft_cross_entropy",
    "sup_con",
    "view_augment",
]
