from sslfast.kernels.fused_optimizer.op import adamw_ema_step_, lars_ema_step_, sgd_ema_step_

__all__ = ["adamw_ema_step_", "lars_ema_step_", "sgd_ema_step_"]
