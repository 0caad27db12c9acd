from sslfast.kernels.sup_con.op import sup_con

__all__ = ["sup_con"]
