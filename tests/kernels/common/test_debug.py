"""Checks that look at values, within `kernels.debug()` only."""

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K

Z = F.normalize(torch.randn(4, 8, generator=torch.Generator().manual_seed(0)), dim=1)
LABELS = torch.tensor([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda bad: K.info_nce(bad, Z, Z, temperature=0.2), "info_nce: expected query"),
        (lambda bad: K.info_nce(Z, bad, Z, temperature=0.2), "info_nce: expected positive"),
        (lambda bad: K.info_nce(Z, Z, bad, temperature=0.2), "info_nce: expected queue"),
        (lambda bad: K.in_batch_info_nce(bad, Z, temperature=0.2), "in_batch_info_nce: expected query"),
        (lambda bad: K.in_batch_info_nce(Z, bad, temperature=0.2), "in_batch_info_nce: expected keys"),
        (lambda bad: K.nt_xent(bad, Z, temperature=0.2), "nt_xent: expected z1"),
        (lambda bad: K.nt_xent(Z, bad, temperature=0.2), "nt_xent: expected z2"),
        (lambda bad: K.sup_con(bad, LABELS, temperature=0.2), "sup_con: expected features"),
        (lambda bad: K.nearest_neighbor(Z, bad, normalized=True), "nearest_neighbor: expected queue"),
    ],
)
def test_rows_that_are_not_of_length_1_are_named(call, name):
    bad = Z * torch.tensor([1, 1, 3, 0.5])[:, None]
    call(bad)  # not asked for
    with K.debug(), pytest.raises(ValueError, match=f"^{name} with rows of length 1, got lengths from 0.5 to 3; "):
        call(bad)
    with K.debug(), pytest.raises(ValueError, match="got lengths from nan to nan"):
        call(Z * torch.nan)
    with K.debug():
        call(Z)
        call(Z * torch.tensor([1, 1, 0, 1])[:, None])
    call(bad)  # no longer asked for


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_rounding_is_no_fault(dtype):
    with K.debug():
        K.info_nce(*(tensor.to(dtype) for tensor in (Z, Z, Z)), temperature=torch.tensor(0.2))


def test_it_ends_with_an_error_and_nests():
    with pytest.raises(KeyError), K.debug():
        raise KeyError
    K.nt_xent(2 * Z, Z, temperature=0.2)
    with K.debug():
        with K.debug():
            pass
        with pytest.raises(ValueError, match="rows of length 1"):
            K.nt_xent(2 * Z, Z, temperature=0.2)


def test_compiled_code_is_not_checked():
    step = torch.compile(lambda z: K.nt_xent(z, Z, temperature=0.2), fullgraph=True, backend="aot_eager")
    expected = K.nt_xent(2 * Z, Z, temperature=0.2)
    with K.debug():
        torch.testing.assert_close(step(2 * Z), expected)
