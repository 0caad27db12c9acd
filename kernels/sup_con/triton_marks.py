"""The marks by which Triton kernels know which rows are each other's positives: labels, or views of one image.

Names: o_ offsets, m_ mask, p_ pointer.
"""

import triton
import triton.language as tl


@triton.jit
def mark(p_labels, o, m, M):
    """Returns what rows know positives by: labels that they share, or without labels the pair's other row."""
    half = M // 2
    return tl.where(o < half, o + half, o - half) if p_labels is None else tl.load(p_labels + o, mask=m, other=0)


@triton.jit
def names(p_labels, o, m):
    """Returns what marks name rows by: their labels, or without labels their numbers."""
    return o if p_labels is None else tl.load(p_labels + o, mask=m, other=0)


@triton.jit
def is_special(p_labels, ahead, M, BM: tl.constexpr, BN: tl.constexpr):
    """Tells whether a tile that begins `ahead` rows after its anchors holds one, or without labels a pair."""
    special = (ahead < BM) & (ahead > -BN)
    if p_labels is None:
        half = M // 2
        special |= ((ahead - half < BM) & (ahead - half > -BN)) | ((ahead + half < BM) & (ahead + half > -BN))
    return special
