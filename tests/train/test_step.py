"""The training step by itself: without a run's directory, and without a loader."""

import copy

import pytest
import torch

from sslfast import device
from sslfast.data import Batch, open_source
from sslfast.errors import UsageError
from sslfast.kernels.common.op import OPS
from sslfast.optim.optimizers import parameter_groups
from sslfast.recipes.load import load_recipe
from sslfast.train.step import TrainStep, build_method, build_step
from tests.train.runs import assert_same

STEPS_PER_EPOCH = 4
SETTINGS = ["data.size=16", "data.batch_size=8", "encoder.width=0.125", "optim.warmup_epochs=1", "train.epochs=3"]
MOCO = [*SETTINGS, "method.dim=16", "method.hidden=16", "method.queue_size=32"]
BYOL = [*SETTINGS, "method.dim=16", "method.hidden=16"]


def batch(seed):
    """Draws two views of eight images, at random."""
    generator = torch.Generator().manual_seed(seed)
    views = tuple(torch.randn(8, 3, 16, 16, generator=generator) for _ in range(2))
    return Batch(views=views, index=torch.arange(8), label=None, seed=0, epoch=0)


def step_of(recipe):
    """Builds the step of a recipe, on 32 images."""
    method = build_method(recipe, 32, torch.device("cpu"))
    return TrainStep(method, recipe, STEPS_PER_EPOCH)


def moco(*overrides):
    return step_of(load_recipe("moco_v2_cifar10", [*MOCO, *overrides]))


def test_views_in_and_weights_out():
    train_step = moco()
    before = copy.deepcopy(train_step.method.state_dict())
    values = [train_step(batch(seed)) for seed in range(3)]
    assert all(value.keys() == {"loss", "accuracy"} and value["loss"].isfinite() for value in values)
    assert (train_step.steps_done, train_step.total_steps) == (3, 12)
    after = train_step.method.state_dict()
    for key in ("encoder.conv1.weight", "key_network.module.0.conv1.weight", "queue.keys"):
        assert not torch.equal(after[key], before[key]), key


def test_the_weights_are_those_of_the_seed():
    one, other, another = moco(), moco(), moco("train.seed=1")
    assert_same(one.method.state_dict(), other.method.state_dict())
    assert not torch.equal(one.method.encoder.conv1.weight, another.method.encoder.conv1.weight)


def test_the_rate_is_the_schedules_of_steps():
    train_step = moco("optim.lr=0.32", "optim.schedule=cosine")
    assert [train_step.learning_rate(step) for step in range(5)] == pytest.approx(
        [0.0, 0.0025, 0.005, 0.0075, 0.01]
    )
    for seed in range(2):
        train_step(batch(seed))
    assert train_step.optimizer.param_groups[0]["lr"] == pytest.approx(0.0025)


def test_a_training_whose_only_step_has_no_learning_rate_is_refused():
    recipe = load_recipe("moco_v2_cifar10", [*MOCO, "train.epochs=1"])
    method = build_method(recipe, 32, torch.device("cpu"))
    with pytest.raises(UsageError, match="warmup_epochs=1: the run's only step would have a learning rate of 0"):
        TrainStep(method, recipe, steps_per_epoch=1)
    assert TrainStep(method, recipe, steps_per_epoch=2).learning_rate(1) > 0


@pytest.mark.parametrize(
    "settings",
    [[], ["optim.name=lars"], ["optim.name=adamw", "method.target_norm=ema"], ["train.precision=fp16"]],
    ids=str,
)
def test_a_state_dict_goes_on_to_the_bit(settings):
    train_step = moco(*settings)
    for seed in range(2):
        train_step(batch(seed))
    state = copy.deepcopy(train_step.state_dict())
    resumed = moco(*settings, "train.seed=5")
    resumed.load_state_dict({**state, "more": "of a run"})
    assert resumed.steps_done == 2
    for seed in range(2, 4):
        torch.manual_seed(seed)
        values = train_step(batch(seed))
        torch.manual_seed(seed)
        assert_same(resumed(batch(seed)), values)
    assert_same(resumed.state_dict(), train_step.state_dict())


def test_the_state_of_a_checkpoint_from_before_the_fused_optimizers():
    """What torch's SGD, with its momentum at zero from the beginning, then wrote."""
    train_step = moco()
    groups = parameter_groups(train_step.method.named_parameters(), train_step.recipe.optim)
    before = torch.optim.SGD(groups, 0.01, momentum=0.9, fused=True)
    for parameter in (p for group in before.param_groups for p in group["params"]):
        before.state[parameter]["momentum_buffer"] = torch.randn_like(parameter)
    state = {**train_step.state_dict(), "optimizer": before.state_dict(), "step": 7}
    resumed = moco("train.seed=5")
    resumed.load_state_dict(copy.deepcopy(state))
    assert resumed.steps_done == 7
    assert_same(resumed.optimizer.state_dict()["state"], before.state_dict()["state"])
    assert resumed(batch(0))["loss"].isfinite()


AVERAGED = {
    "moco_v2": ("moco_v2_cifar10", MOCO),
    "moco_v2, EMAN": ("moco_v2_cifar10", [*MOCO, "method.target_norm=ema", "optim.exclude_bias_and_norm=true"]),
    "byol, LARS": ("byol_cifar10", [*BYOL, "optim.name=lars", "method.momentum=0.5"]),
    "byol, AdamW": ("byol_cifar10", [*BYOL, "optim.name=adamw", "method.momentum=0.5", "method.target_norm=ema"]),
}


@pytest.mark.parametrize("name", AVERAGED)
def test_the_average_that_moves_with_the_optimizer_is_the_average(name, monkeypatch):
    """To the bit that of a pass of its own, in a skipped step too; but no such pass is made over the weights."""
    recipe, settings = AVERAGED[name]
    recipe = load_recipe(recipe, [*settings, "optim.warmup_epochs=0"])
    together, apart = step_of(recipe), step_of(recipe)
    momentum_copy, schedule = apart.method.momentum_copy(), apart.method.momentum
    monkeypatch.setattr(apart.method, "momentum", lambda *steps: 1.0)
    averaged = []
    call = OPS["ema_update_"].call
    monkeypatch.setattr(
        OPS["ema_update_"], "call", lambda impl, *args: (averaged.append(args[0]), call(impl, *args))
    )
    weights = {id(p) for p in together.method.momentum_copy().parameters()}
    for step in range(4):
        views = batch(step)
        if step == 2:
            views.views[0][0] = float("nan")
        averaged.clear()
        torch.manual_seed(step)  # of the order in which keys are made
        values = together(copy.deepcopy(views))
        assert weights.isdisjoint(id(target) for targets in averaged for target in targets)
        before = copy.deepcopy(momentum_copy.module.state_dict()) if step == 2 else None
        torch.manual_seed(step)
        torch.testing.assert_close(apart(views), values, rtol=0, atol=0, equal_nan=True)
        momentum_copy.update(schedule(step, apart.total_steps), skip=apart.optimizer.found_inf == 1)
        ours, theirs = together.method.state_dict(), apart.method.state_dict()
        differing = {key for key in ours if not torch.equal(ours[key], theirs[key])}
        assert not {key for key in differing if not key.endswith("num_batches_tracked")}
        if before:
            now = momentum_copy.module.state_dict()
            assert all(torch.equal(now[key], before[key]) for key in now if "num_batches" not in key)


def test_a_method_without_an_average_steps_too():
    recipe = load_recipe("simclr_cifar10", [*BYOL, "optim.warmup_epochs=0"])
    train_step = step_of(recipe)
    assert train_step.method.momentum_copy() is None
    assert train_step(batch(0))["loss"].isfinite()


def test_a_step_and_its_loader():
    """The batches are what the step expects."""
    recipe = load_recipe("moco_v2_shapes", [*MOCO, "data.limit=40", "train.precision=bf16", "train.epochs=2"])
    train_step, loader = build_step(recipe, open_source("shapes", limit=40), torch.device("cpu"))
    assert train_step.total_steps == 2 * loader.steps_per_epoch == 10
    views = next(loader.epoch(0))
    assert views.views[0].dtype == torch.bfloat16
    assert train_step(views)["loss"].dtype == torch.float32
    assert train_step.method.encoder.conv1.weight.dtype == torch.float32


@pytest.mark.parametrize(("capable", "dtype"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_is_bf16_on_a_cpu_that_has_it(monkeypatch, capable, dtype):
    monkeypatch.setattr(device, "cpu_multiplies_bf16", lambda: capable)
    recipe = load_recipe("moco_v2_shapes", [*MOCO, "data.limit=40", "train.device=cpu"])
    train_step, loader = build_step(recipe, open_source("shapes", limit=40), torch.device("cpu"))
    assert train_step.precision == ("bf16" if capable else "fp32")
    assert next(loader.epoch(0)).views[0].dtype == dtype
