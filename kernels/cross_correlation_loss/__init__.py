from sslfast.kernels.cross_correlation_loss.op import cross_correlation_loss

__all__ = ["cross_correlation_loss"]
