from sslfast.kernels.info_nce.op import info_nce

__all__ = ["info_nce"]
