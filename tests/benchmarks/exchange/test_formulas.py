"""The formulas of what a rank exchanges, holds and multiplies, beside what is counted and done."""

import json
from dataclasses import replace

import pytest
import torch
import torch.distributed as dist
from torch.utils.flop_counter import FlopCounterMode

from sslfast.benchmarks.exchange import bench
from sslfast.benchmarks.exchange.formulas import (
    OF_METHOD,
    Handed,
    Step,
    handed,
    held,
    loss_products,
    on_meta,
    sent,
    sync_norm,
)
from sslfast.benchmarks.train.bench import ours as of_train
from sslfast.benchmarks.train.bench import ready
from sslfast.benchmarks.train.cases import noise
from tests.benchmarks.train.tiny import TINY
from tests.methods.runs import small_recipe

RANKS = 2


def count(rank, folder):
    """Holds what two methods hand over to the formulas, and what norm=sync adds."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=RANKS)
    source = noise(TINY)
    for method in ("moco_v2", "barlow_twins"):
        counts = bench.checked_counts(small_recipe(method), source)
        assert counts["ours"]["gradients"] == counts["plain"]["gradients"] > 0
        assert counts["plain"]["buffers"] > counts["ours"]["buffers"] == 0
    pipeline, _ = bench.ours(small_recipe("simclr", "encoder.norm=sync"), source)
    step = Step(small_recipe("simclr"), TINY.batch_size // RANKS, RANKS)
    assert bench.count(pipeline) == handed(step, pipeline.method) + sync_norm(pipeline.method, RANKS, "cpu")
    dist.destroy_process_group()


@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
def test_what_two_ranks_hand_over_is_what_the_formulas_say(tmp_path):
    torch.multiprocessing.spawn(count, (tmp_path,), nprocs=RANKS)


def measure(rank, ranks, folder):
    bench.recipe = lambda method, ranks: small_recipe(method)
    bench.work(rank, ranks, list(OF_METHOD), 0.0, folder)


@pytest.mark.long
@pytest.mark.skipif(not dist.is_gloo_available(), reason="needs gloo")
@pytest.mark.parametrize("ranks", [2, 4])
def test_every_method_is_measured(tmp_path, ranks):
    torch.multiprocessing.spawn(measure, (ranks, tmp_path), nprocs=ranks)
    results = json.loads((tmp_path / "results.json").read_text())
    assert [result["method"] for result in results] == list(OF_METHOD)
    for result in results:
        assert result["ranks"] == ranks
        assert result["rounds"] >= bench.MIN_ROUNDS
        assert min(result["ratio"], *result["milliseconds"].values()) > 0


def test_what_a_ring_of_four_sends():
    """In chunks of a fourth: an all-reduce passes each on three times to add up, and three times to hand out."""
    assert sent(Handed(all_reduce=400), 4) == sent(Handed(gradients=400), 4) == 6 * 100
    assert sent(Handed(all_gather=100), 4) == sent(Handed(reduce_scatter=400), 4) == 3 * 100
    assert sent(Handed(broadcast=400), 4) * 4 == 3 * 400  # all ranks but the last one
    assert sent(Handed(gradients=400, all_gather=100), 1) == 0


@pytest.mark.parametrize("name", ["moco_v2", "simclr", "barlow_twins", "vicreg"])
def test_the_products_of_a_loss(name):
    recipe, images, ranks = small_recipe(name), 8, 2
    z, everyone = (torch.zeros(rows, recipe.method.dim) for rows in (images, ranks * images))
    with FlopCounterMode(display=False) as counter:
        match name:
            case "moco_v2":
                z @ torch.zeros(recipe.method.queue_size, recipe.method.dim).T
            case "simclr":
                both = torch.cat([everyone, everyone])
                both @ both.T
            case "barlow_twins":
                z.T @ z
            case "vicreg":
                everyone.T @ everyone, everyone.T @ everyone
    assert loss_products(Step(recipe, images, ranks)) == counter.get_total_flops() > 0


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_what_a_rank_holds(optimizer):
    recipe = small_recipe("byol")
    recipe = replace(recipe, optim=replace(recipe.optim, name=optimizer))
    pipeline = of_train(*ready(recipe, TINY, noise(TINY)))
    pipeline.step()
    assert pipeline.held() == sum(held(on_meta(recipe, TINY.num_images), optimizer).values())


def test_a_method_without_a_formula_is_refused(capsys):
    assert bench.main(["--method", "simclrr"]) == 2
    assert "did you mean 'simclr'" in capsys.readouterr().err


def test_the_record(tmp_path, monkeypatch, capsys):
    def spawn(function, arguments, nprocs):
        *_, methods, seconds, folder = arguments
        assert (function, methods, seconds) == (bench.work, ["byol"], 1.0)
        (folder / "results.json").write_text(json.dumps([{"ranks": nprocs}]))

    monkeypatch.setattr(torch.multiprocessing, "spawn", spawn)
    path = tmp_path / "exchange.json"
    assert bench.main(["--method", "byol", "--seconds", "1", "--json", str(path)]) == 0
    content = json.loads(path.read_text())
    assert content["results"] == [{"ranks": 2}, {"ranks": 4}]
    assert {"date", "CPU", "versions", "commit", "command", "case"} <= content["header"].keys()
    assert "resnet18 x 0.25, 32 pixels, 8 images a rank" in capsys.readouterr().out
