import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sslfast.config.validation import validate
from sslfast.errors import TrainingError, UsageError
from sslfast.evaluation.linear.config import LinearConfig
from sslfast.evaluation.linear.probe import _learning_rate, lars_reach, linear_probe, standardize
from sslfast.kernels.optimizers import FusedLARS


def separable(n: int, seed: int, classes: int = 4, dim: int = 12) -> tuple[Tensor, Tensor]:
    """Draws features whose first coordinates tell the class."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % classes
    return torch.randn(n, dim, generator=generator) * 0.2 + 2 * F.one_hot(y, dim), y


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("n", [8, 40, 600])
def test_separates_what_is_separable_at_any_scale_and_size(scale: float, n: int) -> None:
    (x, y), (val_x, val_y) = separable(n, 0), separable(200, 1)
    result = linear_probe(x * scale, y, val_x * scale, val_y, config=LinearConfig(), num_classes=4)
    assert result["train_top1"] == 1
    assert result["top1"] > (0.99 if n > 8 else 0.6)


def test_mocos_own_setting_on_small_features() -> None:
    (x, y), (val_x, val_y) = separable(600, 0), separable(200, 1)
    config = LinearConfig(standardize=False)
    assert config.lr == 30
    assert linear_probe(x * 0.05, y, val_x * 0.05, val_y, config=config, num_classes=4)["top1"] > 0.99


def test_a_training_that_diverges_stops() -> None:
    (x, y), (val_x, val_y) = separable(40, 0), separable(20, 1)
    with pytest.raises(TrainingError, match="the training has diverged"):
        linear_probe(1e6 * x, y, val_x, val_y, config=LinearConfig(lr=1e37, standardize=False), num_classes=4)


def test_lars_learns() -> None:
    config = LinearConfig(form="lars", epochs=60, batch_size=32, lr=10)
    result = linear_probe(*separable(320, 0), *separable(200, 1), config=config, num_classes=4)
    assert result["train_top1"] > 0.99
    assert result["top1"] > 0.99


def test_lars_that_hardly_trains_says_so(caplog: pytest.LogCaptureFixture) -> None:
    """And takes the advice: noise, which a probe can only learn by heart."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 40, generator=generator), torch.randint(4, (60,), generator=generator)
    config = LinearConfig(form="lars", batch_size=8, epochs=5)
    result = linear_probe(*features, *features, config=config, num_classes=4)
    assert result["train_top1"] < 0.5
    (message,) = caplog.messages
    assert "its 40 steps move the classifier by at most 0.00064 times its own length" in message
    assert f"too little to fit 60 images (training accuracy {100 * result['train_top1']:.1f}%)" in message
    caplog.clear()
    assert "set form=sgd, or epochs=" in message
    linear_probe(*features, *features, config=LinearConfig(form="sgd"), num_classes=4)
    advised = LinearConfig(form="lars", lr=30, epochs=100)
    assert lars_reach(advised, 60) > 3
    assert linear_probe(*features, *features, config=advised, num_classes=4)["train_top1"] > 0.7
    assert not caplog.messages


@pytest.mark.parametrize(("images", "enough"), [(60, False), (5000, False), (50_000, True), (1_281_167, True)])
def test_the_reach_of_lars_as_the_paper_has_it(images: int, enough: bool) -> None:
    assert (lars_reach(LinearConfig(form="lars"), images) >= 3) == enough


def test_the_reach_of_lars_is_how_far_it_goes() -> None:
    """Where all gradients agree, and the tensor grows by a share of its length in each step."""
    weight = torch.nn.Parameter(torch.full((50,), 0.1))
    config = LinearConfig(form="lars", batch_size=256, epochs=400, lr=0.5)
    optimizer = FusedLARS([weight], 1.0, momentum=0.9, trust_coefficient=1e-3)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = _learning_rate(step, 400, "lars", 0.5)
        weight.grad = -torch.ones_like(weight)
        optimizer.step()
    reach, grown = lars_reach(config, 256), (weight / 0.1).mean().log().item()
    assert 0.9 * reach < grown < reach


@pytest.mark.parametrize("form", ["sgd", "lars"])
def test_the_seed_determines_the_result(form: str) -> None:
    # Noise that no probe learns well, so that two seeds come out differently.
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 6, generator=generator), torch.randint(4, (400,), generator=generator)

    def probe(seed: int) -> dict[str, float]:
        torch.rand(seed + 1)  # the global generator has no say
        config = LinearConfig(form=form, epochs=3, batch_size=64, seed=seed)
        return linear_probe(x[:200], y[:200], x[200:], y[200:], config=config, num_classes=4)

    assert probe(0) == probe(0)
    assert probe(0) != probe(1)


def test_shuffled_labels_give_chance() -> None:
    (x, y), val = separable(2000, 0), separable(400, 1)
    y = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(0))]
    result = linear_probe(x, y, *val, config=LinearConfig(epochs=20), num_classes=4)
    assert 0.1 < result["top1"] < 0.4
    assert result["train_top1"] < 0.4


def test_reaches_the_optimum_that_lbfgs_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(500, 8, generator=generator)
    y = (x @ torch.randn(8, 3, generator=generator) + torch.randn(500, 3, generator=generator)).argmax(1)
    w = torch.zeros(3, 9, requires_grad=True)
    optimizer = torch.optim.LBFGS([w], max_iter=200, line_search_fn="strong_wolfe")
    z, _ = standardize(x, x)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(z @ w[:, :8].T + w[:, 8], y)
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        best = ((z @ w[:, :8].T + w[:, 8]).argmax(1) == y).double().mean().item()
    result = linear_probe(x, y, x, y, config=LinearConfig(), num_classes=3)
    assert result["train_top1"] == result["top1"]
    assert abs(result["top1"] - best) < 0.02


def test_top5_counts_the_five_best() -> None:
    # Eight classes in pairs that look alike: a right probe is half right, and always right within five.
    y = torch.arange(800) % 8
    x = F.one_hot(y // 2, 4).float()
    result = linear_probe(x, y, x, y, config=LinearConfig(epochs=10), num_classes=8)
    assert 0.4 < result["top1"] < 0.6
    assert result["top5"] == 1


def test_standardized_takes_its_statistics_from_the_training_images_only() -> None:
    generator = torch.Generator().manual_seed(0)
    x = 3 + 5 * torch.randn(50, 4, generator=generator)
    z, w = standardize(x, x[:1] + 1)
    torch.testing.assert_close(z.mean(0), torch.zeros(4), atol=1e-5, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(4))
    torch.testing.assert_close(w, z[:1] + 1 / x.std(0, correction=0))


def test_standardized_ignores_a_feature_that_never_changes() -> None:
    x = torch.tensor([[1.0, 0.1], [2.0, 0.1], [3.0, 0.1]])
    z, w = standardize(x, torch.tensor([[2.0, 7.0]]))
    assert z[:, 1].tolist() == [0, 0, 0]
    assert w.tolist() == [[0, 0]]


def test_schedules() -> None:
    sgd = [_learning_rate(step, 10, "sgd", 30.0) for step in range(10)]
    assert sgd == pytest.approx([30] * 6 + [3] * 2 + [0.3] * 2)
    lars = [_learning_rate(step, 10, "lars", 1.0) for step in range(10)]
    assert lars[0] == 1
    assert lars[5] == pytest.approx(0.5)
    assert lars == sorted(lars, reverse=True)


def test_defaults_follow_the_form() -> None:
    sgd, lars = LinearConfig(), validate(LinearConfig, {"form": "lars"}, "evaluate")
    assert (sgd.epochs, sgd.lr, sgd.batch_size) == (100, 0.1, 256)
    assert (lars.epochs, lars.lr, lars.batch_size) == (90, 0.1, 4096)
    assert validate(LinearConfig, {"epochs": 7, "lr": 2.5}, "evaluate").epochs == 7


def test_an_unknown_setting_is_an_error() -> None:
    with pytest.raises(UsageError, match="epoch.*did you mean 'epochs'"):
        validate(LinearConfig, {"epoch": 3}, "evaluate linear")
