"""What every method promises, whatever its loss: see subjects.py for the methods."""

import copy
import dataclasses
import json
import math

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from sslfast.commands.pretrain import pretrain
from sslfast.data import LoaderSpec, make_loader, open_source
from sslfast.encoders import Encoder
from sslfast.errors import UsageError
from sslfast.methods import METHODS
from sslfast.recipes.load import load_recipe, recipes
from sslfast.run.checkpoint import load
from sslfast.run.directory import RunDirectory
from sslfast.train.interrupt import Interrupt
from sslfast.train.trainer import Trainer
from sslfast.views import divide
from tests.methods.harness import KEEP, SKIP, after_step
from tests.methods.runs import small_recipe
from tests.methods.subjects import SUBJECTS
from tests.train.runs import assert_same


@pytest.fixture(params=sorted(METHODS))
def name(request):
    return request.param


@pytest.fixture
def trainer(name, tmp_path):
    recipe = small_recipe(name)
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), open_source("shapes", limit=recipe.data.limit))
    trainer.method.start_epoch(0, trainer.embed)
    return trainer


def batch_of(trainer, epoch=None):
    return next(iter(trainer.loader.epoch(SUBJECTS[trainer.recipe.method.name].epoch if epoch is None else epoch)))


class StopAfter(Interrupt):
    """A signal that comes after so many steps of a trainer."""

    def __init__(self, trainer, steps):
        super().__init__()
        self.trainer, self.steps = trainer, steps

    def everywhere(self):
        return self.trainer.step == self.steps


def test_a_moving_average_has_a_copy_of_the_encoder(trainer):
    """By which RUN@momentum finds it."""
    method = trainer.method
    if (momentum_copy := method.momentum_copy()) is not None:
        copied = momentum_copy.follower_of(method.encoder)
        assert copied is not method.encoder
        assert copied.state_dict().keys() == method.encoder.state_dict().keys()
        assert momentum_copy.follower_of(method) is None


def test_every_method_has_a_subject():
    assert SUBJECTS.keys() == METHODS.keys()


def test_a_method_is_in_the_file_of_its_name():
    assert METHODS.modules == {name: f"sslfast.methods.{name}" for name in METHODS}
    assert METHODS.modules == {name: method.__module__ for name, method in METHODS.items()}


def test_a_run_stopped_and_resumed_equals_one_that_was_not(name, tmp_path):
    """Four steps an epoch, two epochs, stopped within the second."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    pretrain(small_recipe(name), whole)
    recipe = small_recipe(name)
    first = Trainer(recipe, RunDirectory(parts), open_source("shapes", limit=recipe.data.limit))
    first.run.start(recipe, resume=False)
    first.fit(StopAfter(first, 6))
    assert load(parts / "checkpoints" / "last.pt")["step"] == 6
    pretrain(small_recipe(name), parts, resume=True)
    assert_same(load(whole / "checkpoints" / "last.pt"), load(parts / "checkpoints" / "last.pt"))
    losses = [json.loads(line) for line in (whole / "metrics.jsonl").read_text().splitlines()]
    assert len(losses) == 8
    assert all(math.isfinite(line["loss"]) and line["skipped_steps"] == 0 for line in losses)


def test_every_trained_parameter_receives_gradient_and_no_other(trainer):
    loss, values, _ = trainer.method.loss(batch_of(trainer))
    loss.backward()
    assert loss.shape == ()
    assert loss.isfinite()
    assert not any(value.requires_grad for value in values.values())
    without = SUBJECTS[trainer.recipe.method.name].without_gradient
    for name, parameter in trainer.method.named_parameters():
        moved = parameter.grad is not None and parameter.grad.abs().max() > 0
        assert moved == (parameter.requires_grad and not name.startswith(without)), name


def test_the_loss_changes_nothing_but_batch_statistics(trainer):
    """No buffer, and no attribute: `after_step` gets all it needs from what `loss` returns."""
    before, attributes = copy.deepcopy(trainer.method.state_dict()), attributes_of(trainer.method)
    trainer.method.loss(batch_of(trainer))
    assert attributes_of(trainer.method) == attributes
    after = trainer.method.state_dict()
    changed = {key for key, value in before.items() if not torch.equal(value, after[key])}
    assert all(key.endswith(("running_mean", "running_var", "num_batches_tracked")) for key in changed), changed


def attributes_of(method):
    """Maps the attributes of a method's modules, and of the objects in it that are none, to their objects."""
    owners = [*method.modules(), *(value for value in vars(method).values() if hasattr(value, "__dict__"))]
    return {(id(owner), name): id(value) for owner in owners for name, value in vars(owner).items()}


def test_views_in_bf16_serve_as_well(name, tmp_path):
    """Under autocast, whose first layer would round them."""
    recipe = small_recipe(name, "train.precision=bf16")
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), open_source("shapes", limit=recipe.data.limit))
    trainer.method.start_epoch(0, trainer.embed)
    batch, losses = batch_of(trainer), []
    assert all(view.dtype == torch.bfloat16 for view in batch.views)
    trainer.loader = make_loader(LoaderSpec(trainer.train_set, recipe.data, recipe.train.seed, trainer.device))
    for views in (batch.views, batch_of(trainer).views):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16):
            losses.append(copy.deepcopy(trainer.method).loss(dataclasses.replace(batch, views=views))[0])
    torch.testing.assert_close(*losses, rtol=0.01, atol=0.01)


def test_a_contact_sheet_shows_what_the_encoders_get(trainer):
    """To the bit: whole views, or the inputs that are made of them by the recipe."""
    method, batch, fed, sides = trainer.method, batch_of(trainer), set(), set()
    for encoder in (module for module in method.modules() if isinstance(module, Encoder)):
        encoder.register_forward_pre_hook(lambda _, inputs: fed.update(map(pixels, shown(trainer, inputs[0]))))
        encoder.register_forward_pre_hook(lambda _, inputs: sides.add(inputs[0].shape[-1]))
    method.loss(batch)
    assert sides == method.sides(trainer.recipe)
    for number, view in enumerate(batch.views):
        inputs = method.inputs_of_view(trainer.recipe, number, view, batch.key(number))
        if inputs is None or trainer.recipe.method.name == "cmc":  # of whose colors it shows pictures
            assert fed.issuperset(map(pixels, view))
        else:
            patches = [patch for patch in inputs.flatten(0, 1) if patch.isfinite().all()]
            assert len(patches) >= len(view)
            assert fed.issuperset(map(pixels, patches))


def shown(trainer, images):
    """Returns what a sheet shows of an encoder's images: of montages, which hold several views, each view."""
    return divide(images).flatten(0, 1) if trainer.recipe.method.name == "jigsaw_clustering" else images


def pixels(image):
    return image.contiguous().numpy().tobytes()


@pytest.mark.parametrize("skip", [KEEP, SKIP], ids=["kept", "skipped"])
def test_what_a_step_moves_stays_where_the_step_is_skipped(trainer, skip):
    method = trainer.method
    loss, _, kept = method.loss(batch_of(trainer))
    loss.backward()
    trainer.train_step.optimizer.step(ema_momentum=1.0)  # so that there is something to follow
    before = copy.deepcopy(method.state_dict())
    after_step(method, kept, 0, 8, skip)
    changed = [key for key, value in method.state_dict().items() if not torch.equal(value, before[key])]
    changed = [key for key in changed if not key.endswith("num_batches_tracked")]  # which nothing reads
    if skip is SKIP:
        assert not changed
    else:
        assert bool(changed) == SUBJECTS[trainer.recipe.method.name].moves


class NoHostRead(TorchDispatchMode):
    """Refuses the operations that make the host wait for a value of the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        forbidden = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "bincount")
        assert func.overloadpacket.__name__ not in forbidden, f"{func} waits for the device"
        if func.overloadpacket.__name__ in ("index", "index_put", "index_put_"):
            assert not any(i is not None and i.dtype == torch.bool for i in args[1]), f"{func} by a mask waits"
        return func(*args, **(kwargs or {}))


def test_a_step_reads_nothing_back_from_the_device(trainer):
    trainer.train_step(batch_of(trainer))  # what the first step sets up may wait
    batch = batch_of(trainer)
    with NoHostRead():
        trainer.train_step(batch)


@pytest.mark.parametrize("name", ["exemplar", "pirl", "swav"])
def test_each_shape_is_compiled_as_a_graph_of_its_own(name, tmp_path, monkeypatch):
    """Small crops or patches beside whole views: a graph of any shape would be slower."""
    graphs, compile = [], nn.Module.compile

    def backend(graph, inputs):
        graphs.append(inputs)
        return graph.forward

    monkeypatch.setattr(
        nn.Module, "compile", lambda module, **options: compile(module, backend=backend, **options)
    )
    torch.compiler.reset()
    recipe = small_recipe(name, "train.compile=true")
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), open_source("shapes", limit=recipe.data.limit))
    trainer.train_step(batch_of(trainer, epoch=0))
    assert len(graphs) >= 2
    assert all(isinstance(x, torch.Tensor) for inputs in graphs for x in inputs)


@pytest.mark.gpu
def test_a_step_never_waits_for_a_gpu(name, tmp_path):
    recipe = small_recipe(name, "train.compile=false")  # which changes what is launched, not what is read
    trainer = Trainer(recipe, RunDirectory(tmp_path / "run"), open_source("shapes", limit=recipe.data.limit))
    trainer.method.start_epoch(0, trainer.embed)
    trainer.train_step(batch_of(trainer))  # what the first step sets up may wait
    batch = batch_of(trainer)
    torch.cuda.set_sync_debug_mode("error")
    try:
        trainer.train_step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_the_guard_against_host_reads_guards():
    with NoHostRead(), pytest.raises(AssertionError, match="waits"):
        torch.ones(1).item()
    with NoHostRead(), pytest.raises(AssertionError, match="waits"):
        torch.ones(3)[torch.tensor([True, False, True])]


def test_a_batch_of_one_is_refused(name, tmp_path):
    with pytest.raises(UsageError, match="batch_size=1: expected at least 2"):
        pretrain(small_recipe(name, "data.batch_size=1"), tmp_path / "run")


@pytest.mark.parametrize("recipe", sorted(recipes()))
def test_every_recipe_can_be_built(recipe):
    """Its settings fit together: the method's own check passes on a data set of the size it is meant for."""
    loaded = load_recipe(recipe)
    method = METHODS[loaded.method.name]
    assert method.num_views in (None, len(loaded.data.views))
    num_images = {"shapes": 4_500, "imagenette": 9_469, "cifar10": 50_000, "cifar100": 50_000} | {
        "tinyimagenet": 100_000,
        "imagenet100": 126_689,
        "imagenet": 1_281_167,
    }
    method.check(loaded, num_images[recipe.rpartition("_")[2]])
