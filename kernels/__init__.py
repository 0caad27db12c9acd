"""Fused kernels for self-supervised pre-training, each usable on its own: `from sslfast import kernels as K`."""

if __name__ == "kernels":
    raise ImportError("this folder is sslfast's: install sslfast and write `from sslfast import kernels`")

from sslfast.kernels._library import available_impls
from sslfast.kernels.ema_update import ema_update_
from sslfast.kernels.info_nce import info_nce

__all__ = ["available_impls", "ema_update_", "info_nce"]
