"""A learned temperature, label smoothing, the debiased loss and negatives of each row's own."""

import functools

import pytest
import torch
import torch.nn.functional as F

from sslfast import kernels as K

N, M, D = 6, 9, 8
T = 0.3


def unit(*shape, seed):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(shape, generator=generator, dtype=torch.float64), dim=-1)


QUERY, POSITIVE, QUEUE, KEYS = unit(N, D, seed=0), unit(N, D, seed=1), unit(M, D, seed=2), unit(M, D, seed=3)
LABELS = torch.tensor([0, 1, 0, 1, 2, 2])
TARGET = torch.arange(3).repeat(2) + 4  # of two chunks, from key 4 on


def queue_logits(query, positive, queue=QUEUE, t=T):
    negatives = (query[:, None] * queue.to(query)).sum(dim=-1)
    return torch.cat([(query * positive).sum(dim=1, keepdim=True), negatives], dim=1) / t


def debiased(logits, target, prior, t=T, reduction="none"):
    """Computes equations 7 and 8 of Chuang et al. 2020 from all logits."""
    positive = logits.gather(1, target[:, None]).squeeze(1).exp()
    negatives = logits.shape[1] - 1
    estimate = (logits.exp().sum(dim=1) - positive - negatives * prior * positive) / (1 - prior)
    ng = torch.maximum(estimate, torch.tensor(negatives * torch.e ** (-1 / t)))
    losses = -(positive / (positive + ng)).log()
    return getattr(losses, reduction)() if reduction != "none" else losses


def smooth(logits, target, share, reduction="none"):
    return F.cross_entropy(logits, target, label_smoothing=share, reduction=reduction)


FIRST = torch.zeros(N, dtype=torch.long)
IN_BATCH = functools.partial(K.in_batch_info_nce, temperature=T, offset=4, chunks=2)
OF_QUEUE = functools.partial(K.info_nce, queue=QUEUE, temperature=T)
FORMS = {
    "info_nce smoothed": (
        lambda q, p, **o: K.info_nce(q, p, QUEUE.to(q), temperature=T, label_smoothing=0.2, **o),
        lambda q, p, **o: smooth(queue_logits(q, p), FIRST, 0.2, **o),
        POSITIVE,
    ),
    "info_nce debiased": (
        lambda q, p, **o: K.info_nce(q, p, QUEUE.to(q), temperature=T, positive_prior=0.1, **o),
        lambda q, p, **o: debiased(queue_logits(q, p), FIRST, 0.1, **o),
        POSITIVE,
    ),
    "in_batch_info_nce smoothed": (
        lambda q, k, **o: IN_BATCH(q, k, label_smoothing=0.2, **o),
        lambda q, k, **o: smooth(q @ k.T / T, TARGET, 0.2, **o),
        KEYS,
    ),
    "in_batch_info_nce debiased": (
        lambda q, k, **o: IN_BATCH(q, k, positive_prior=0.1, **o),
        lambda q, k, **o: debiased(q @ k.T / T, TARGET, 0.1, **o),
        KEYS,
    ),
}


def value_and_gradients(form, tensors, dtype=torch.float64, **options):
    tensors = [tensor.detach().to(dtype).requires_grad_() for tensor in tensors]
    value = form(*tensors, **options)
    weights = torch.linspace(-1, 2, value.numel(), dtype=value.dtype).view_as(value)
    return [value.detach(), *torch.autograd.grad(value, tensors, weights)]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("form", FORMS)
def test_forms_equal_their_formulas(form, reduction):
    ours, formula, other = FORMS[form]
    expected = value_and_gradients(formula, [QUERY, other], reduction=reduction)
    torch.testing.assert_close(value_and_gradients(ours, [QUERY, other], reduction=reduction), expected)
    narrow = value_and_gradients(ours, [QUERY, other], torch.float32, reduction=reduction, impl="cpp")
    torch.testing.assert_close(narrow, [tensor.float() for tensor in expected], rtol=1e-4, atol=1e-5)


def test_the_debiased_loss_has_a_floor():
    """Where the positive is so near that the estimate is negative, and where it is far below 1 in fp32."""
    query = unit(4, D, seed=5)
    for t in (0.02, 0.5):
        logits = queue_logits(query, query, t=t)
        expected = debiased(logits, FIRST[:4], 0.3, t=t)
        q, queue = query.float(), QUEUE.float()
        losses = K.info_nce(q, q, queue, temperature=t, positive_prior=0.3, reduction="none", impl="cpp")
        torch.testing.assert_close(losses, expected.float(), rtol=1e-4, atol=1e-6)
        assert torch.isfinite(losses).all()
    empty = QUEUE[:0].float()
    assert not K.info_nce(q, q, empty, temperature=0.5, positive_prior=0.3, reduction="none").any()


OPS = {
    "info_nce": lambda t, impl, dtype: K.info_nce(
        QUERY.to(dtype), POSITIVE.to(dtype), QUEUE.to(dtype), temperature=t, impl=impl
    ),
    "in_batch_info_nce": lambda t, impl, dtype: K.in_batch_info_nce(
        QUERY.to(dtype), KEYS.to(dtype), temperature=t, impl=impl
    ),
    "in_batch_info_nce debiased": lambda t, impl, dtype: K.in_batch_info_nce(
        QUERY.to(dtype), KEYS.to(dtype), temperature=t, positive_prior=0.1, impl=impl
    ),
    "nt_xent": lambda t, impl, dtype: K.nt_xent(QUERY.to(dtype), POSITIVE.to(dtype), temperature=t, impl=impl),
    "sup_con": lambda t, impl, dtype: K.sup_con(QUERY.to(dtype), LABELS, temperature=t, impl=impl),
}


@pytest.mark.parametrize("op", OPS)
def test_a_temperature_that_is_a_tensor_gets_its_gradient(op):
    call, step = OPS[op], 1e-5
    slope = (call(T + step, "auto", torch.float64) - call(T - step, "auto", torch.float64)) / (2 * step)
    for impl, dtype in (("reference", torch.float64), ("cpp", torch.float32)):
        t = torch.tensor(T, dtype=dtype, requires_grad=True)
        loss = call(t, impl, dtype)
        torch.testing.assert_close(loss, call(T, impl, dtype), rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(torch.autograd.grad(loss, t)[0], slope.to(dtype), rtol=1e-4, atol=1e-5)


def test_the_gradient_to_the_temperature_of_bf16_rows_is_summed_in_fp32():
    t = torch.tensor(T, requires_grad=True)
    (found,) = torch.autograd.grad(OPS["info_nce"](t, "cpp", torch.bfloat16), t)
    exact = torch.tensor(T, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(OPS["info_nce"](exact, "reference", torch.float64), exact)
    torch.testing.assert_close(found.double(), expected, rtol=0.02, atol=0)


def test_a_step_with_all_forms_is_one_graph():
    def step(query, keys, t):
        return K.in_batch_info_nce(query, keys, temperature=t, positive_prior=0.1)

    tensors = [QUERY.float(), KEYS.float(), torch.tensor(T)]
    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    expected = value_and_gradients(step, tensors, torch.float32)
    torch.testing.assert_close(value_and_gradients(compiled, tensors, torch.float32), expected)


@pytest.mark.parametrize("options", [{}, {"label_smoothing": 0.2}, {"return_rank": True}])
def test_negatives_of_each_rows_own(options):
    queue = unit(N, M, D, seed=4)

    def formula(query, positive, queue):
        return smooth(queue_logits(query, positive, queue), FIRST, options.get("label_smoothing", 0.0), "mean")

    def ours(*tensors):
        out = K.info_nce(*tensors, temperature=T, **options)
        return out[0] if isinstance(out, tuple) else out

    tensors = [QUERY, POSITIVE, queue]
    torch.testing.assert_close(value_and_gradients(ours, tensors), value_and_gradients(formula, tensors))
    if options.get("return_rank"):
        ranks = (queue_logits(*tensors)[:, 1:] > queue_logits(*tensors)[:, :1]).sum(dim=1)
        assert torch.equal(K.info_nce(*tensors, temperature=T, return_rank=True)[1], ranks)


IDS = torch.arange(N), torch.arange(M)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: OF_QUEUE(QUERY, POSITIVE, label_smoothing=1),
            "info_nce: expected label_smoothing from 0 to below 1",
        ),
        (
            lambda: OF_QUEUE(QUERY, POSITIVE, positive_prior=-0.1),
            "info_nce: expected positive_prior from 0 .* -0.1",
        ),
        (lambda: OF_QUEUE(QUERY, POSITIVE, label_smoothing=0.1, positive_prior=0.1), "exclude each other"),
        (lambda: IN_BATCH(QUERY, KEYS, ids=IDS, label_smoothing=0.1), "label_smoothing is not defined where ids"),
        (lambda: IN_BATCH(QUERY, KEYS, ids=IDS, positive_prior=0.1), "positive_prior is not defined where ids"),
        (
            lambda: K.info_nce(QUERY, POSITIVE, QUEUE.expand(2, M, D), temperature=T),
            r"expected queue of shape \(6, K, 8\) to match query, got \(2, 9, 8\)",
        ),
        (
            lambda: K.nt_xent(QUERY, POSITIVE, temperature=torch.ones(1)),
            r"nt_xent: expected a temperature tensor of shape \(\), float32 or float64, got \(1,\)",
        ),
    ],
)
def test_what_is_not_defined_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_negatives_of_each_rows_own_have_the_reference_only():
    queue = unit(N, M, D, seed=4).float()
    with pytest.raises(RuntimeError, match="impl='cpp' is not available: negatives of each row's own"):
        K.info_nce(QUERY.float(), POSITIVE.float(), queue, temperature=T, impl="cpp")
