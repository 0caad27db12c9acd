"""Arguments that the ops refuse, and those that they take in another form."""

import numpy as np
import pytest
import torch

from sslfast import kernels as K

Z = torch.ones(4, 8)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: K.info_nce(Z, Z, None, temperature=1),
            "info_nce: expected queue to be a torch.Tensor, got NoneType",
        ),
        (lambda: K.in_batch_info_nce(Z, [Z], temperature=1), "in_batch_info_nce: expected keys .*, got list"),
        (
            lambda: K.in_batch_info_nce(Z, Z, ids=(torch.arange(4), None), temperature=1),
            "in_batch_info_nce: expected key_ids .*, got NoneType",
        ),
        (lambda: K.nt_xent(Z, Z.numpy(), temperature=1), "nt_xent: expected z2 .*, got ndarray"),
        (lambda: K.sup_con(Z, [0, 0, 1, 1], temperature=1), "sup_con: expected labels .*, got list"),
        (
            lambda: K.soft_cross_entropy(Z, None, temperature=1),
            "soft_cross_entropy: expected targets .*, got None",
        ),
        (lambda: K.nearest_neighbor([Z], Z), "nearest_neighbor: expected query .*, got list"),
        (lambda: K.sinkhorn_knopp([Z]), "sinkhorn_knopp: expected scores .*, got list"),
        (lambda: K.aligned_pooling(Z, None), "aligned_pooling: expected maps .*, got NoneType"),
        (lambda: K.cross_correlation_loss(Z, 1, lambd=1), "cross_correlation_loss: expected z2 .*, got int"),
        (lambda: K.enqueue_(Z, Z, 0), "enqueue_: expected pointer .*, got int"),
    ],
)
def test_an_argument_that_is_no_tensor_is_named(call, message):
    with pytest.raises(TypeError, match=f"^{message}"):
        call()


@pytest.mark.parametrize("temperature", [1e-38, 1e300])
def test_a_temperature_that_fp32_cannot_invert_is_refused(temperature):
    with pytest.raises(ValueError, match="nt_xent: expected a temperature from 1e-37 to 1e37, got"):
        K.nt_xent(Z, Z, temperature=temperature)


def test_a_temperature_that_is_a_tensor_is_refused_for_it_would_get_no_gradient():
    with pytest.raises(
        ValueError, match="soft_cross_entropy: expected a temperature that is a Python number.*; to learn it"
    ):
        K.soft_cross_entropy(Z, Z, temperature=torch.nn.Parameter(torch.tensor(0.1)))


F = torch.randn(2, 8, 3, 3, generator=torch.Generator().manual_seed(0))
SCORES = F.flatten(1)


@pytest.mark.parametrize("impl", ["reference", "cpp"])
@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda t, impl: K.nt_xent(SCORES, SCORES, temperature=t, impl=impl), 0.5),
        (lambda t, impl: K.info_nce(SCORES, SCORES, SCORES, temperature=t, impl=impl), 2),
        (lambda e, impl: K.sinkhorn_knopp(SCORES, epsilon=e, impl=impl), 0.25),
        (lambda n, impl: K.sinkhorn_knopp(SCORES, iterations=n, impl=impl), 2),
        (lambda x, impl: K.cross_correlation_loss(SCORES, SCORES, lambd=x, impl=impl), 0.5),
        (lambda k, impl: K.nearest_neighbor(SCORES, SCORES, k=k, impl=impl)[1], 2),
        (lambda g, impl: K.aligned_pooling(F, F, groups=g, impl=impl), 2),
        (lambda n, impl: K.in_batch_info_nce(SCORES, SCORES, chunks=n, temperature=1, impl=impl), 2),
        (lambda n, impl: K.in_batch_info_nce(SCORES[:1], SCORES, offset=n, temperature=1, impl=impl), 1),
    ],
)
def test_a_number_may_be_numpys(impl, call, number):
    kind = np.float32 if isinstance(number, float) else np.int64
    assert torch.equal(call(kind(number), impl), call(number, impl))


def test_a_momentum_may_be_numpys():
    target = torch.ones(3)
    K.ema_update_([target], [torch.zeros(3)], np.float32(0.5))
    assert target.tolist() == [0.5] * 3
