from sslfast.kernels.aligned_pooling.op import aligned_pooling

__all__ = ["aligned_pooling"]
