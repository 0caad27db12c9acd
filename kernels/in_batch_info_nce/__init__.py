from sslfast.kernels.in_batch_info_nce.op import in_batch_info_nce

__all__ = ["in_batch_info_nce"]
