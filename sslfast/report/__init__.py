"""A run in pictures: training curves, augmented views, nearest neighbours, an embedding, on one page."""

from sslfast.report.write import write_report

__all__ = ["write_report"]
