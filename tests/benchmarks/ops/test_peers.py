"""Other packages' forms of the ops, where they are installed: they compute what ours do."""

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K
from sslfast.benchmarks.ops import peers


def normalized(*shape, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(shape, generator=generator), dim=1)


def test_lightly():
    pytest.importorskip("lightly")
    z1, z2 = normalized(8, 16), normalized(8, 16, seed=1)
    torch.testing.assert_close(peers.lightly_nt_xent(z1, z2, temperature=0.2), K.nt_xent(z1, z2, temperature=0.2))
    torch.testing.assert_close(
        peers.lightly_cross_correlation_loss(z1, z2, lambd=0.1), K.cross_correlation_loss(z1, z2, lambd=0.1)
    )
    torch.testing.assert_close(
        peers.lightly_sinkhorn_knopp(z1 @ z2.T, epsilon=0.1, iterations=4),
        K.sinkhorn_knopp(z1 @ z2.T, epsilon=0.1, iterations=4),
    )
    assert peers.lightly_info_nce(z1, z2, normalized(32, 16), temperature=0.2).isfinite()  # has its own negatives


def test_pytorch_metric_learning():
    pytest.importorskip("pytorch_metric_learning")
    z1, z2 = normalized(8, 16), normalized(8, 16, seed=1)
    labels = torch.arange(8) % 3
    torch.testing.assert_close(peers.pml_nt_xent(z1, z2, temperature=0.2), K.nt_xent(z1, z2, temperature=0.2))
    torch.testing.assert_close(
        peers.pml_sup_con(z1, labels, temperature=0.2), K.sup_con(z1, labels, temperature=0.2)
    )


def test_faiss():
    pytest.importorskip("faiss")
    query, queue = 3 * normalized(8, 16), normalized(64, 16, seed=1)
    indices, similarity = peers.faiss_nearest_neighbor(query, queue)
    expected, cosine = K.nearest_neighbor(query, queue)
    torch.testing.assert_close(torch.as_tensor(indices), expected)
    torch.testing.assert_close(torch.as_tensor(similarity), cosine)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize(
    ("name", "chunks", "locked"),
    [("cce", 2, False), ("inf-cl", 2, False), ("liger", 2, False), ("memeff", 1, False), ("memeff", 1, True)],
)
def test_in_batch_info_nce(name, chunks, locked):
    pytest.importorskip(peers.MODULES[name])
    form = peers.FORMS["in_batch_info_nce"][name]
    query, keys = (normalized(rows, 128, seed=rows).cuda().bfloat16() for rows in (256 * chunks, 256))
    settings = {"temperature": 0.2, "chunks": chunks}
    loss = form(query.requires_grad_(), keys.requires_grad_(not locked), **settings)
    expected = K.in_batch_info_nce(query, keys, **settings)
    torch.testing.assert_close(loss.float(), expected, rtol=1e-2, atol=1e-2)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_flash_sinkhorn():
    pytest.importorskip("flash_sinkhorn")
    z, prototypes = normalized(256, 64).cuda(), normalized(96, 64, seed=1).cuda()
    codes = peers.flash_sinkhorn_knopp(z, prototypes, epsilon=0.05, iterations=3)
    expected = K.sinkhorn_knopp(z @ prototypes.T, epsilon=0.05, iterations=3)
    torch.testing.assert_close(codes, expected, rtol=5e-2, atol=1e-3)  # its products are of TF32
