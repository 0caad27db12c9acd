"""Training: the step, the loop around it, and what guards them."""

from typing import TYPE_CHECKING

from sslfast.lazy import moved

if not TYPE_CHECKING:  # to type checkers any name would be one of these
    __getattr__ = moved(__name__, {"pretrain": "sslfast:pretrain"})
