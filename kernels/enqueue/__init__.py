from sslfast.kernels.enqueue.op import enqueue_

__all__ = ["enqueue_"]
