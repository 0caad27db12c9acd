"""Losses with the constructors and calls of lightly's, as of its version 1.6.

    from sslfast.nn.compat.lightly import BarlowTwinsLoss, DINOLoss, NTXentLoss, SwaVLoss

`gather_distributed` works as there: over the default process group, once it is initialized.

What the originals take and these refuse, with a ValueError: a negative temperature, `sinkhorn_iterations=0`
(SwaVLoss), and more views of the teacher's than of the student's (DINOLoss). A memory bank's size may be a number
alone, without a warning. Shapes that do not fit are a ValueError where the originals assert.
"""

from typing import NoReturn

from sslfast.nn.compat.lightly.barlow_twins import BarlowTwinsLoss
from sslfast.nn.compat.lightly.dcl import DCLLoss, DCLWLoss
from sslfast.nn.compat.lightly.dino import DINOLoss
from sslfast.nn.compat.lightly.ibot import IBOTPatchLoss
from sslfast.nn.compat.lightly.koleo import KoLeoLoss
from sslfast.nn.compat.lightly.macl import MACLLoss
from sslfast.nn.compat.lightly.memory_bank import MemoryBankModule
from sslfast.nn.compat.lightly.mmcr import MMCRLoss
from sslfast.nn.compat.lightly.msn import MSNLoss, PMSNCustomLoss, PMSNLoss
from sslfast.nn.compat.lightly.negative_cosine import NegativeCosineSimilarity
from sslfast.nn.compat.lightly.nt_xent import DirectCLRLoss, NTXentLoss
from sslfast.nn.compat.lightly.swav import SwaVLoss
from sslfast.nn.compat.lightly.tico import TiCoLoss
from sslfast.nn.compat.lightly.vicreg import VICRegLoss
from sslfast.nn.compat.missing import refuse

__all__ = [
    "BarlowTwinsLoss",
    "DCLLoss",
    "DCLWLoss",
    "DINOLoss",
    "DirectCLRLoss",
    "IBOTPatchLoss",
    "KoLeoLoss",
    "MACLLoss",
    "MMCRLoss",
    "MSNLoss",
    "MemoryBankModule",
    "NTXentLoss",
    "NegativeCosineSimilarity",
    "PMSNCustomLoss",
    "PMSNLoss",
    "SwaVLoss",
    "TiCoLoss",
    "VICRegLoss",
]


def __getattr__(name: str) -> NoReturn:
    refuse(__name__, name, __all__, original="lightly.loss")
