from sslfast.kernels.ema_update.op import ema_update_

__all__ = ["ema_update_"]
