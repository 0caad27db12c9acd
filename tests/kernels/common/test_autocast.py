"""Autocast for the ops: what is cast, and what is left to the errors."""

import pytest
import torch

from sslfast import kernels as K
from sslfast.kernels.common.autocast import autocast, widest


def test_casts_what_a_matmul_would():
    tensors = torch.ones(2), torch.ones(2).half(), torch.ones(2).double(), torch.ones(2).long()
    assert all(a is b for a, b in zip(autocast(*tensors), tensors, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        dtypes = [tensor.dtype for tensor in autocast(*tensors)]
    assert dtypes == [torch.bfloat16, torch.bfloat16, torch.float64, torch.int64]


def test_the_widest_dtype():
    tensors = torch.ones(2).half(), torch.ones(2)
    assert all(a is b for a, b in zip(widest(*tensors), tensors, strict=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert [tensor.dtype for tensor in widest(*tensors)] == [torch.float32] * 2
        assert [tensor.dtype for tensor in widest(tensors[0], tensors[0].bfloat16())] == [torch.float32] * 2
        assert widest(tensors[0].long(), tensors[1])[0].dtype == torch.int64  # for the error to name


def test_leaves_integers_to_the_error():
    query, positive, queue = torch.randn(4, 8), torch.randn(4, 8), torch.randn(20, 8)
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(ValueError, match="expected query of a floating-point dtype, got torch.int64"):
            K.info_nce(query.long(), positive.long(), queue.long(), temperature=1)
        with pytest.raises(ValueError, match="expected queue of dtype torch.bfloat16 .* got torch.int64"):
            K.info_nce(query, positive, queue.long(), temperature=1)
