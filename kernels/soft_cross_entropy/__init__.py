from sslfast.kernels.soft_cross_entropy.op import soft_cross_entropy

__all__ = ["soft_cross_entropy"]
