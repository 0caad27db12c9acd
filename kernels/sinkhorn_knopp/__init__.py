from sslfast.kernels.sinkhorn_knopp.op import sinkhorn_knopp

__all__ = ["sinkhorn_knopp"]
