"""The losses of sslfast.nn.compat.lightly without lightly: their papers' formulas, and what they refuse."""

import pytest
import torch
import torch.nn.functional as F

from sslfast.nn.compat import lightly
from tests.nn.compare import assert_same, embeddings


def unit(*tensors):
    return [F.normalize(tensor, dim=1) for tensor in tensors]


def dcl(z1, z2, t, weights=lambda a, b: 1):
    """Computes equation 6 of Yeh et al. 2022, the mean over images and views."""
    z1, z2 = unit(z1, z2)
    own = torch.eye(len(z1), dtype=torch.bool)
    losses = []
    for a, b in ((z1, z2), (z2, z1)):
        negatives = torch.cat([a @ a.T, a @ b.T], dim=1) / t
        negatives = negatives.masked_fill(own.repeat(1, 2), -torch.inf).logsumexp(dim=1)
        losses.append(negatives - weights(a, b) * (a * b).sum(dim=1) / t)
    return torch.cat(losses).mean()


def dclw(z1, z2, t, sigma):
    def weights(a, b):
        e = ((a * b).sum(dim=1) / sigma).exp().detach()
        return 2 - e / e.mean()

    return dcl(z1, z2, t, weights)


def macl(z1, z2, t, alpha, a0):
    """Computes NT-Xent at a temperature of the positives' mean similarity; a loss is over its gradient's scale."""
    z1, z2 = unit(z1, z2)
    t = t * (1 + alpha * ((z1 * z2).sum(dim=1).mean().detach() - a0))
    z = torch.cat([z1, z2])
    log_p = (z @ z.T / t).fill_diagonal_(-torch.inf).log_softmax(dim=1)
    log_p = log_p[torch.arange(len(z)), torch.arange(len(z)).roll(len(z1))]
    return -(log_p / (1 - log_p.detach().exp())).mean()


def tico(z1, z2, rho):
    """Runs algorithm 1 of Zhu et al. 2022 at the first step."""
    z1, z2 = unit(z1, z2)
    covariance = 0.1 * (z1.T @ z1).detach() / len(z1)
    return 1 - (z1 * z2).sum(dim=1).mean() + rho * ((z1 @ covariance) * z1).sum(dim=1).mean()


def vicreg(z1, z2):
    """Runs algorithm 1 of Bardes et al. 2022, with the authors' mean of both variance terms."""
    loss = 25 * F.mse_loss(z1, z2)
    for z in (z1, z2):
        covariance = z.T.cov()
        loss = loss + 12.5 * F.relu(1 - (covariance.diagonal() + 1e-4).sqrt()).mean()
        loss = loss + (covariance - covariance.diagonal().diag()).square().sum() / len(covariance)
    return loss


@pytest.mark.parametrize(
    ("loss", "formula"),
    [
        (lightly.DCLLoss(temperature=0.2), lambda a, b: dcl(a, b, 0.2)),
        (lightly.DCLWLoss(temperature=0.2, sigma=0.3), lambda a, b: dclw(a, b, 0.2, 0.3)),
        (lightly.DirectCLRLoss(loss_dim=4), lambda a, b: lightly.NTXentLoss()(a[:, :4], b[:, :4])),
        (lightly.MACLLoss(0.2, 0.7, 0.1), lambda a, b: macl(a, b, 0.2, 0.7, 0.1)),
        (lightly.TiCoLoss(rho=5.0), lambda a, b: tico(a, b, 5)),
        (lightly.VICRegLoss(), vicreg),
    ],
    ids=lambda value: type(value).__name__,
)
def test_losses_of_two_views(loss, formula):
    assert_same(copy_of(loss), formula, embeddings(20, 9))


def copy_of(loss):
    """Makes a call that leaves the module's state alone."""

    def call(*views):
        if isinstance(loss, lightly.TiCoLoss):
            return loss(*views, update_covariance_matrix=False)
        return loss(*views)

    return call


def test_vicreg_of_bf16_is_computed_in_fp32():
    views = [z.bfloat16() for z in embeddings(20, 9)]
    with torch.autocast("cpu", torch.bfloat16):
        loss = lightly.VICRegLoss()(*views)
    torch.testing.assert_close(loss, vicreg(*(z.float() for z in views)))


def test_koleo_is_the_log_of_the_distance_to_the_nearest():
    def nearest(x):
        (x,) = unit(x)
        return -(torch.cdist(x, x) + 9 * torch.eye(len(x))).amin(dim=1).log().mean()

    assert_same(lightly.KoLeoLoss(), nearest, embeddings(12, 6, count=1))


def test_mmcr_is_of_nuclear_norms():
    def norms(a, b):
        z = torch.cat([a, b], dim=1)
        views = sum(torch.linalg.matrix_norm(each, "nuc") for each in z) / len(z)
        return 0.3 * views - torch.linalg.matrix_norm(z.mean(dim=1), "nuc")

    assert_same(lightly.MMCRLoss(0.3), norms, embeddings(4, 2, 6))


def test_dino_predicts_centered_targets_and_moves_the_center():
    loss = lightly.DINOLoss(output_dim=7, teacher_temp=0.05, student_temp=0.2, center_momentum=0.8)
    for step in range(2):
        scores = [z / 20 for z in embeddings(5, 7, seed=step, count=5)]
        teacher, center = scores[:2], loss.center.clone()
        targets = [((z - center[0]) / 0.05).softmax(dim=1) for z in teacher]

        def formula(*student, targets=targets):
            pairs = [
                -(targets[i] * (z / 0.2).log_softmax(dim=1)).sum(dim=1).mean()
                for i in range(2)
                for v, z in enumerate(student)
                if v != i
            ]
            return sum(pairs) / 4

        before = loss.center.clone()
        assert_same(lambda *student, teacher=teacher: loss(teacher, student), formula, scores[2:])
        torch.testing.assert_close(loss.center[0, 0], 0.8 * before[0, 0] + 0.2 * torch.cat(teacher).mean(dim=0))


def test_ibot_averages_over_an_images_patches_first():
    mask = torch.tensor([[[True, True, True]], [[False, True, False]]])
    teacher, student = (z / 20 for z in embeddings(4, 7))
    losses = -(F.softmax(teacher / 0.04, dim=1) * F.log_softmax(student / 0.1, dim=1)).sum(dim=1)
    loss = lightly.IBOTPatchLoss(output_dim=7)
    torch.testing.assert_close(loss(teacher, student, mask), (losses[:3].mean() + losses[3]) / 2)
    torch.testing.assert_close(loss.center.value, 0.1 * teacher.mean(dim=0, keepdim=True))


@pytest.mark.parametrize(
    ("loss", "prior"),
    [
        (lightly.MSNLoss(0.2, 2), torch.full((8,), 1 / 8)),
        (lightly.PMSNCustomLoss(lambda p: torch.arange(1, 9) / 36, 0.2, 2), torch.arange(1, 9) / 36),
        (
            lightly.PMSNLoss(0.2, 2, power_law_exponent=1),
            (1 / torch.arange(1, 9)) / (1 / torch.arange(1, 9)).sum(),
        ),
    ],
)
def test_msn_balances_sharpened_targets(loss, prior):
    """Assran et al. 2022, equation 1; the regularization is a divergence between the mean and the prior."""

    def formula(anchors, targets, prototypes):
        anchors, targets, prototypes = unit(anchors, targets, prototypes)
        p = (anchors @ prototypes.T / 0.2).softmax(dim=1)
        q = (targets @ prototypes.T / 0.2).softmax(dim=1).pow(4)
        q = q / q.sum(dim=1, keepdim=True)
        for _ in range(2):
            q = q / q.sum(dim=0)
            q = q / q.sum(dim=1, keepdim=True)
        cross_entropy = -(q.detach().repeat(3, 1) * p.log()).sum(dim=1).mean()
        mean = p.mean(dim=0)
        first, second = (mean, prior) if type(loss) is lightly.MSNLoss else (prior, mean)
        return cross_entropy + (first * (first.log() - second.log())).sum()

    tensors = [embeddings(n, 5, seed=n, count=1)[0] for n in (12, 4, 8)]
    assert_same(loss, formula, tensors)


Z = torch.randn(4, 3)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: lightly.DCLLoss(temperature=0), "DCLLoss: expected a temperature > 0, got 0"),
        (lambda: lightly.DCLWLoss(temperature=-1), "DCLWLoss: expected a temperature > 0, got -1"),
        (lambda: lightly.DINOLoss(student_temp=0), "DINOLoss: expected a temperature > 0, got 0"),
        (lambda: lightly.DINOLoss(center_mode="max"), "DINOLoss: expected center_mode to be 'mean', got 'max'"),
        (lambda: lightly.DINOLoss(3)([Z], [Z]), "at least 2 views of the student's, .* got 1 and 1"),
        (lambda: lightly.DINOLoss(3)([Z] * 3, [Z] * 2), "at least 2 views of the student's, .* got 2 and 3"),
        (lambda: lightly.IBOTPatchLoss(center_mode=None), "IBOTPatchLoss: expected center_mode to be 'mean'"),
        (lambda: lightly.KoLeoLoss()(Z[:1]), r"KoLeoLoss: expected x of shape \(N, D\) with N > 1, got \(1, 3\)"),
        (lambda: lightly.MACLLoss(alpha=2), "MACLLoss: expected alpha from 0 to 1, got 2"),
        (lambda: lightly.MACLLoss(A_0=-1), "MACLLoss: expected A_0 from 0 to 1, got -1"),
        (lambda: lightly.MMCRLoss(-1), "MMCRLoss: expected lmda to be at least 0, got -1"),
        (lambda: lightly.MMCRLoss()(Z, Z), r"expected online and momentum of one shape \(N, k, D\), got \(4, 3\)"),
        (lambda: lightly.MSNLoss(sinkhorn_iterations=-1), "MSNLoss: expected sinkhorn_iterations to be a whole"),
        (lambda: lightly.TiCoLoss()(Z, Z[:3]), r"TiCoLoss: expected .* N > 1, got \(4, 3\) and \(3, 3\)"),
        (lambda: lightly.VICRegLoss()(Z[:1], Z[:1]), r"VICRegLoss: expected .* N > 1, got \(1, 3\) and \(1, 3\)"),
    ],
)
def test_what_cannot_be_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
