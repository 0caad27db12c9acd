from sslfast.kernels.nt_xent.op import nt_xent

__all__ = ["nt_xent"]
