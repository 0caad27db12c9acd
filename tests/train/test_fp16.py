"""Training in fp16: the loss is scaled, so that small gradients do not become 0, and the gradient is as if not."""

import copy
import math

import pytest
import torch
import torch.distributed as dist

from sslfast.commands.pretrain import pretrain
from sslfast.recipes.load import load_recipe
from sslfast.run.fits import check_scaler
from tests.train.runs import assert_same, lines, signal_after, state, tiny
from tests.train.test_step import BYOL, MOCO, batch, step_of

FP16 = "train.precision=fp16"
SCALE = 2.0**16  # of the first step


def fp16(recipe="moco_v2_cifar10", *overrides):
    settings = MOCO if recipe == "moco_v2_cifar10" else BYOL
    return step_of(load_recipe(recipe, [*settings, FP16, "optim.warmup_epochs=0", *overrides]))


def gradient(train_step, views):
    """Computes the gradient that the optimizer would get, in one vector."""
    torch.manual_seed(0)  # of the order in which keys are made
    train_step.backward(views)
    train_step.scaler.unscale_(train_step.optimizer)
    return torch.cat([p.grad.flatten() for p in train_step.method.parameters() if p.grad is not None])


def scaled_by(train_step, scale):
    train_step.scaler.load_state_dict({**train_step.scaler.state_dict(), "scale": scale})
    return train_step


def test_the_views_are_in_fp16_and_the_weights_are_not():
    train_step = fp16()
    with train_step.autocast():
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float16
    values = train_step(batch(0))
    assert values["loss"].isfinite()
    assert {p.dtype for p in train_step.method.parameters()} == {torch.float32}
    assert train_step.loss_scale() == {"loss_scale": SCALE / 2}
    assert step_of(load_recipe("moco_v2_cifar10", MOCO)).loss_scale() == {}


@pytest.mark.parametrize("accumulate", [1, 2])
def test_the_gradient_is_that_of_fp32_whatever_the_scale(accumulate):
    settings = ("moco_v2_cifar10", f"train.accumulate={accumulate}", "encoder.norm=batch")
    exact = gradient(fp16(*settings, "train.precision=fp32"), batch(0))
    small, large = (gradient(scaled_by(fp16(*settings), scale), batch(0)) for scale in (2.0**6, 2.0**10))
    assert (small - large).norm() < 0.01 * exact.norm()
    assert torch.cosine_similarity(large, exact, dim=0) > 0.9
    assert large.norm().item() == pytest.approx(exact.norm().item(), rel=0.1)


@pytest.mark.parametrize("settings", [["optim.name=lars"], ["optim.name=adamw", "optim.clip_norm=0.01"]], ids=str)
def test_a_scale_that_is_too_large_falls_and_the_step_never_was(settings):
    train_step = scaled_by(fp16("byol_cifar10", *settings), 2.0**40)
    before = copy.deepcopy({k: v for k, v in train_step.method.state_dict().items() if "num_batches" not in k})
    train_step(batch(0))
    after = train_step.method.state_dict()
    assert_same({key: after[key] for key in before}, before)
    assert train_step.guard.counts() == (0, 0)
    assert train_step.loss_scale() == {"loss_scale": 2.0**39}
    scaled_by(train_step, 2.0**8)(batch(0))
    assert not torch.equal(train_step.method.state_dict()["encoder.conv1.weight"], before["encoder.conv1.weight"])


def test_a_gradient_is_clipped_after_it_is_unscaled():
    train_step = scaled_by(fp16("byol_cifar10", "optim.clip_norm=0.01"), 2.0**8)
    train_step(batch(0))
    norm = torch.nn.utils.get_total_norm([p.grad for p in train_step.method.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(0.01, rel=1e-3)


def test_a_loss_that_is_not_finite_is_a_bad_step_whatever_the_scale():
    train_step, views = fp16(), batch(0)
    views.views[0][0] = math.nan
    for _ in range(2):
        train_step(views)
    assert train_step.guard.counts() == (2, 2)


def test_a_gradient_that_no_scale_makes_finite_is_bad_once_the_scale_is_1(monkeypatch):
    monkeypatch.setattr(torch.amp.GradScaler, "unscale_", spoiled(torch.amp.GradScaler.unscale_))
    train_step = scaled_by(fp16(), 4.0)
    counts = []
    for _ in range(4):
        train_step(batch(0))
        counts.append(train_step.guard.counts())
    assert counts == [(0, 0), (0, 0), (1, 1), (2, 2)]


def spoiled(unscale):
    def unscale_(self, optimizer):
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad.fill_(math.nan)
        unscale(self, optimizer)

    return unscale_


def test_a_run_goes_on_to_the_same_bits(tmp_path, monkeypatch):
    """The scale among them, which falls in the first steps."""
    settings = [FP16, "train.epochs=1", "train.knn_every=0", "data.size=16", "data.limit=80", "data.batch_size=16"]
    whole, run = tmp_path / "whole", tmp_path / "run"
    pretrain(tiny(*settings), whole)
    with monkeypatch.context() as patch:
        signal_after(patch, 2)
        with pytest.raises(SystemExit, match="143"):
            pretrain(tiny(*settings), run)
    pretrain(tiny(*settings), run, resume=True)
    assert_same(state(run), state(whole))
    scales = [line["loss_scale"] for line in lines(run) if "loss" in line]
    assert scales[0] == SCALE / 2
    assert state(run)["scaler"]["scale"] == scales[-1]
    assert {line["skipped_steps"] for line in lines(run) if "loss" in line} == {0}
    assert ", fp16" in (run / "train.log").read_text()


def work(rank, folder):
    """Takes three steps on two ranks; the gradient of the first is too large for its scale on rank 1 alone."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=2)
    train_step = scaled_by(fp16("moco_v2_cifar10", "encoder.norm=batch", "data.batch_size=16"), 2.0**10)
    large = train_step.method.encoder.conv1.weight.register_hook(lambda gradient: gradient * torch.inf)
    for step in range(3):
        if step == 1 or rank == 0:
            large.remove()
        train_step(batch(10 * rank + step))
    torch.save([train_step.state_dict(), train_step.guard.counts()], folder / f"{rank}.pt")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_a_gradient_that_is_too_large_on_one_rank_lowers_the_scale_on_all(tmp_path):
    torch.multiprocessing.spawn(work, (tmp_path,), nprocs=2)
    (state, counts), (other_state, other_counts) = (torch.load(tmp_path / f"{rank}.pt") for rank in range(2))
    assert state["scaler"] == other_state["scaler"]
    assert state["scaler"]["scale"] == 2.0**9
    assert counts == other_counts == (0, 0)
    assert_same(state["optimizer"], other_state["optimizer"])
    weights, other_weights = state["method"], other_state["method"]
    assert torch.equal(weights["encoder.conv1.weight"], other_weights["encoder.conv1.weight"])


CRAFTED = {
    "scale": [0.0, -1.0, math.inf, math.nan, "1"],
    "_growth_tracker": [-1, 2**40, 1.5],
    "growth_factor": [0.5],
    "backoff_factor": [2.0],
    "growth_interval": [0],
}


@pytest.mark.parametrize("key", CRAFTED)
def test_a_state_of_no_scaler_is_refused(key):
    scaler = torch.amp.GradScaler("cpu")
    check_scaler(scaler.state_dict(), scaler, "scaler")
    for value in CRAFTED[key]:
        with pytest.raises(ValueError, match=f"scaler.{key}: expected"):
            check_scaler({**scaler.state_dict(), key: value}, scaler, "scaler")


def test_a_state_without_a_scale_is_for_other_precisions_only():
    state_of_bf16 = step_of(load_recipe("moco_v2_cifar10", [*MOCO, "train.precision=bf16"])).state_dict()
    assert state_of_bf16.pop("scaler") == {}
    step_of(load_recipe("moco_v2_cifar10", [*MOCO, "train.precision=bf16"])).load_state_dict(state_of_bf16)
    with pytest.raises(ValueError, match="scaler.* is missing"):
        fp16().load_state_dict(state_of_bf16)
