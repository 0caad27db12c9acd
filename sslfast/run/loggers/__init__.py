"""What the metrics of a run go to beside metrics.jsonl: TensorBoard, services that follow experiments."""

from sslfast.run.loggers.logger import Logger
from sslfast.run.loggers.named import check_loggers, named_loggers

__all__ = ["Logger", "check_loggers", "named_loggers"]
