from sslfast.kernels.nearest_neighbor.op import nearest_neighbor

__all__ = ["nearest_neighbor"]
